"""One package for both architectures: what `sam build` makes for each is the same, byte for byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cross_account_access.templates import Side, source
from cross_account_lab.containers.lab import ContainerLab
from cross_account_lab.functions import Function
from tests.lab.containers.variants import BACKEND, CALLER

SIDES: dict[str, Side] = {"account-a": "a", "account-b": "b"}


def digests(package: Path) -> dict[str, str]:
    return {
        str(path.relative_to(package)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in package.rglob("*")
        if path.is_file() and path.name != "lab-ca.pem"
    }


@pytest.mark.parametrize("function", [BACKEND, CALLER], ids=lambda function: function.name)
def test_the_packages_hold_the_same_files(containers: ContainerLab, function: Function, tmp_path: Path) -> None:
    # The lab's packages were built for the default architecture.
    assert source(SIDES[function.account])["Parameters"]["Architecture"]["Default"] == "arm64"
    overrides = ("--parameter-overrides", "Architecture=x86_64")
    containers.lab.sam.run("build", function.account, *overrides, "--build-dir", str(tmp_path))
    arm64 = digests(containers.package(function))
    assert arm64
    assert digests(tmp_path / function.name) == arm64
