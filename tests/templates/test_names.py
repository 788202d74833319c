"""One noun, four casings: output and parameter (ApiUrl), environment variable (API_URL), setting (api_url)."""

from __future__ import annotations

import dataclasses
import re

from cross_account_access.templates import Side, resolved, source
from cross_account_caller.settings import Settings as CallerSettings


def snake(pascal: str) -> str:
    return re.sub("(?<!^)(?=[A-Z])", "_", pascal).lower()


def variables(side: Side, function: str) -> dict[str, str]:
    given = {"ApiKey": "k" * 20} if side == "b" else {}
    found: dict[str, str] = resolved(side, **given)["Resources"][function]["Properties"]["Environment"]["Variables"]
    return {name: str(value) for name, value in found.items() if not name.startswith("POWERTOOLS_")}


def test_variables_and_settings_have_the_same_names() -> None:
    settings = {item.name for item in dataclasses.fields(CallerSettings)}
    assert {name.lower() for name in variables("b", "CallerFunction")} == settings


def test_outputs_keep_their_name_down_to_the_callers_settings() -> None:
    shared = set(source("a")["Outputs"]) & set(source("b")["Parameters"])
    assert shared == {"ApiRegion", "ApiUrl", "ExecutorRoleArn", "ExternalId"}
    assert {snake(name).upper() for name in shared} <= set(variables("b", "CallerFunction"))
    assert {snake(name) for name in shared} <= {item.name for item in dataclasses.fields(CallerSettings)}


def test_the_functions_accept_what_their_templates_give_them() -> None:
    settings = CallerSettings.from_environment({**variables("b", "CallerFunction"), "AWS_REGION": "eu-west-1"})
    assert settings.api_url == "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/v1"
    assert settings.session_name == "222222222222-eu-west-1-stack-b"
