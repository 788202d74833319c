"""A project whose API is the echo: template A's own parameters, role and API, with another backend and other routes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml
from samtranslator.yaml_helper import yaml_parse

from access.contract import CONTRACT
from access.model import load
from access.templates import PROJECT, source

_HERE = Path(__file__).parent
_CONTRACT = {"openapi": "3.1.0", "paths": {"/echo": {"get": {"responses": {"200": {}}}}}}


def write(folder: Path) -> Path:
    """Write the project to a folder, in the form in which a lab can deploy it."""
    own = load()
    template = json.loads(json.dumps(source("a")).replace(own.api, "EchoApi"))
    role = own.executor.name.removeprefix("A.")
    kept = {name: template["Resources"][name] for name in (role, "EchoApi")}
    # The emulator writes no access log.
    del kept["EchoApi"]["Properties"]["AccessLogSetting"]
    template["Resources"] = kept | yaml_parse((_HERE / "template.yaml").read_text())["Resources"]
    (folder / "template-account-a.yaml").write_text(yaml.safe_dump(template, sort_keys=False))
    for name in ("template-account-b.yaml", "samconfig.toml"):
        shutil.copy(PROJECT / name, folder)
    functions = folder / "functions"
    for package in ("caller", "cross_account_api", "cross_account_backend"):
        shutil.copytree(PROJECT / "functions" / package, functions / package)
    (functions / "echo").mkdir()
    shutil.copy(_HERE / "handler.py", functions / "echo")
    (functions / "echo/requirements.txt").touch()
    makefile = (PROJECT / "functions/Makefile").read_text()
    (functions / "Makefile").write_text(f"build-EchoFunction: PACKAGES := echo cross_account_backend\n{makefile}")
    (folder / CONTRACT).parent.mkdir()
    (folder / CONTRACT).write_text(json.dumps(_CONTRACT))
    return folder
