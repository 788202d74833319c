"""One package for both architectures: what `sam build` makes for each is the same, byte for byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from access.templates import Side, source
from lab.containers.lab import ACCOUNTS, ContainerLab

SIDES: dict[str, Side] = {"account-a": "a", "account-b": "b"}


def digests(package: Path) -> dict[str, str]:
    return {
        str(path.relative_to(package)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in package.rglob("*")
        if path.is_file() and path.name != "lab-ca.pem"
    }


@pytest.mark.parametrize("function", sorted(ACCOUNTS))
def test_the_packages_hold_the_same_files(containers: ContainerLab, function: str, tmp_path: Path) -> None:
    account = ACCOUNTS[function]
    # The lab's packages were built without a word of the architecture.
    assert source(SIDES[account])["Parameters"]["Architecture"]["Default"] == "arm64"
    overrides = ("--parameter-overrides", "Architecture=x86_64")
    containers.lab.sam.run("build", account, *overrides, "--build-dir", str(tmp_path))
    arm64 = digests(containers.build_folder(function) / function)
    assert len(arm64) > 50
    assert digests(tmp_path / function) == arm64
