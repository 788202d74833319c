"""The script that docs/deploy.md runs to see throttling sends what the page says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cross_account_access.templates import PROJECT
from cross_account_lab.judge.gateway import Gateway
from cross_account_lab.judge.loopback import Server
from cross_account_lab.judge.sigv4 import Credentials

SCRIPT = "tests/lab/deployed/throttle.py"


@pytest.mark.parametrize(("kind", "status"), [("signed", 200), ("unsigned", 403)])
def test_the_load_of_the_throttling_check_is_signed_or_not(kind: str, status: int, tmp_path: Path) -> None:
    assert f"python {SCRIPT} " in (PROJECT / "docs/deploy.md").read_text()
    (tmp_path / "config").write_text(
        "[profile orders]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret\nregion = eu-west-1\n"
    )
    with Server(gateway := Gateway()) as server:
        url = f"http://127.0.0.1:{server.port}"
        gateway.regions[url.removeprefix("http://")] = "eu-west-1"
        gateway.keys["AKIAEXAMPLE"] = Credentials("secret")
        done = subprocess.run(
            [sys.executable, str(PROJECT / SCRIPT), url, kind, "1", "/whoami", "/orders"],
            env={**os.environ, "AWS_CONFIG_FILE": str(tmp_path / "config"), "NO_PROXY": "*"},
            check=True,
            capture_output=True,
            text=True,
            timeout=600,
        )
    assert sorted(done.stdout.splitlines()) == [f"{kind} /orders {status} 200", f"{kind} /whoami {status} 200"]
    assert gateway.verdicts.total() == 400
