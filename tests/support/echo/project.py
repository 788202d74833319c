"""A project whose API is the echo: template A's own parameters, role, API and tables, with other routes and backend."""

import json
import shutil
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

from cross_account_access.contract import CONTRACT
from cross_account_access.model import load
from cross_account_access.templates import PROJECT, source

_HERE = Path(__file__).parent
_KEPT = {
    "AWS::ApiGateway::ApiKey",
    "AWS::ApiGateway::BasePathMapping",
    "AWS::ApiGateway::DomainName",
    "AWS::ApiGateway::UsagePlan",
    "AWS::ApiGateway::UsagePlanKey",
    "AWS::DynamoDB::Table",
}
_CONTRACT = {"openapi": "3.1.0", "paths": {"/echo": {"get": {"responses": {"200": {}}}}}}


def write(folder: Path) -> Path:
    """Write the project to a folder, in the form in which a lab can deploy it."""
    own = load()
    template = json.loads(json.dumps(source("a")).replace(own.api, "EchoApi"))
    role = own.executor.name.removeprefix("A.")
    kept = {
        name: item for name, item in template["Resources"].items() if name in {role, "EchoApi"} or item["Type"] in _KEPT
    }
    # The emulator writes no access log.
    del kept["EchoApi"]["Properties"]["AccessLogSetting"]
    template["Resources"] = kept | yaml_parse((_HERE / "template.yaml").read_text())["Resources"]
    (folder / "template-account-a.yaml").write_text(json.dumps(template))
    for path in (*PROJECT.glob("template-*.yaml"), PROJECT / "samconfig.toml"):
        if path.name != "template-account-a.yaml":
            shutil.copy(path, folder)
    functions = folder / "functions"
    for package in ("cross_account_caller", "cross_account_api", "cross_account_backend"):
        shutil.copytree(PROJECT / "functions" / package, functions / package)
    (functions / "echo").mkdir()
    shutil.copy(_HERE / "handler.py", functions / "echo")
    (functions / "echo/requirements.txt").touch()
    makefile = (PROJECT / "functions/Makefile").read_text()
    (functions / "Makefile").write_text(f"build-EchoFunction: PACKAGES := echo cross_account_backend\n{makefile}")
    (folder / CONTRACT).parent.mkdir()
    (folder / CONTRACT).write_text(json.dumps(_CONTRACT))
    return folder
