"""What is deployed is what the templates say, but for what the lab asks otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from access.policies import Document, Intent, Policies, UnknownPolicyError, deployed_intent, from_templates

from access.templates import transformed


def test_the_deployment_holds_the_policies_of_the_templates_and_no_other(deployed: Policies) -> None:
    templates = from_templates(deployed.intent, deployed.names)
    assert set(deployed.documents) == set(templates.documents)
    for name in deployed.documents:
        assert canonical(deployed[name]) == canonical(templates[name]), name


def test_the_lab_overrides_session_names_and_mfa_and_nothing_else() -> None:
    """What is proven of the defaults, and cannot be deployed here, differs in these two conditions only."""
    external_ids = deployed_intent().external_ids
    lab, defaults = (from_templates(intent) for intent in (deployed_intent(), Intent(external_ids=external_ids)))
    differing = [name for name in lab.documents if lab[name] != defaults[name]]
    assert differing == ["ExecutorRole trust"]
    for one, other in zip(lab[differing[0]]["Statement"], defaults[differing[0]]["Statement"], strict=True):
        assert one["Condition"].pop("StringLike") == {"sts:RoleSessionName": ["222222222222-*"]}
        assert other["Condition"].pop("StringLike") == {"sts:RoleSessionName": ["${aws:PrincipalAccount}-*"]}
        mfa = {"aws:MultiFactorAuthPresent": "true"} if one["Sid"] == "AssumeForPeople" else None
        assert other["Condition"].pop("Bool", None) == mfa
        assert one == other


def test_a_policy_of_another_kind_is_not_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket_policy = {
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {"PolicyDocument": {"Statement": [{"Effect": "Allow"}]}},
    }
    monkeypatch.setitem(transformed("a")["Resources"], "BucketPolicy", bucket_policy)
    with pytest.raises(UnknownPolicyError, match="BucketPolicy"):
        from_templates()


def canonical(document: Document) -> list[Any]:
    """Leave out what means nothing: the order of statements, a list around one value, ids that Lambda makes up."""
    statements = []
    for statement in document["Statement"]:
        plain = {key: _plain(value) for key, value in statement.items() if value}
        if isinstance(plain.get("Principal"), dict) and plain["Principal"].get("Service") == "apigateway.amazonaws.com":
            del plain["Sid"]
        statements.append(plain)
    return sorted(statements, key=str)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return value[0] if len(value) == 1 else sorted(value)
    return value
