"""A linter that knows every action, resource type and condition key of AWS reads the policies."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from cross_account_access.documents import Document
from cross_account_access.model import Model, load

# What the linter reports of policies that are as they should be, and why it is no fault.
BACKENDS = {route.function for route in load().routes}
ACCEPTED = {
    **{
        (f"{function}Role {kind}", "missing_condition"): reason
        for function in {"CallerFunction", *BACKENDS}
        for kind, reason in (
            ("trust", "Lambda sends no source account when it assumes a role"),
            ("identity", "each statement names its one resource; MFA is for people"),
        )
    },
    **{
        (f"{function} resource", "invalid_condition_key"): "Lambda itself writes AWS:SourceArn; the case means nothing"
        for function in BACKENDS
    },
    ("ExecutorRole trust", "invalid_condition_key"): "cfn-lint's table has no condition keys of STS",
    ("ApiAccessPolicy identity", "missing_condition"): "the role's trust policy demands MFA and the external id",
}

_TYPES = {"trust": "TRUST_POLICY", "identity": "IDENTITY_POLICY", "resource": "RESOURCE_POLICY"}


def test_the_linter_finds_nothing_but_what_is_accepted(model: Model, services: Path, tmp_path: Path) -> None:
    found = lint(model.documents.items(), services, tmp_path)
    assert set(found) == set(ACCEPTED)


def lint(documents: Iterable[tuple[str, Document]], services: Path, folder: Path) -> list[tuple[str, str]]:
    """Return what the linter reports: the policy, and the kind of issue."""
    found: list[tuple[str, str]] = []
    for name, document in documents:
        logical_id, kind = name.split()
        path = folder / kind / f"{logical_id}.json"
        path.parent.mkdir(exist_ok=True)
        if document["Statement"]:
            path.write_text(json.dumps(document))
    for path in sorted(folder.iterdir()):
        for file, issue in issues(path, _TYPES[path.name], services):
            found.append((f"{Path(file).stem} {path.name}", issue))
    return found


def issues(path: Path, policy_type: str, services: Path) -> list[tuple[str, str]]:
    """Return what the linter reports of a folder of policies: the file, and the kind of issue."""
    answer = subprocess.run(
        [
            *(Path(sys.executable).with_name("iam-validator"), "--log-level", "error", "validate"),
            *("--path", path, "--policy-type", policy_type),
            *("--aws-services-dir", services, "--format", "json"),
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=600,
    )
    return [
        (result["policy_file"], issue["issue_type"])
        for result in json.loads(answer.stdout)["results"]
        for issue in result["issues"]
    ]
