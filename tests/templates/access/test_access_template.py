"""What template-access.yaml grants and whom it trusts, beyond what the properties of the report say."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from cross_account_access.access_stack import guard_claim
from cross_account_access.documents import Document, document, expand
from cross_account_access.engine.case import Case, Principal
from cross_account_access.engine.decision import decide
from cross_account_access.engine.languages import added
from cross_account_access.engine.request import Kind, Request
from cross_account_access.model import load
from cross_account_access.proof import Claim, Property, find, prove
from cross_account_access.templates import ACCOUNTS, of_parameters, present, resolved, source
from tests.templates.access.oracles import reach

PROVIDER, CONSUMER = ACCOUNTS["a"], ACCOUNTS["b"]
ARN_PATTERN = source("access")["Parameters"]["GrantedMethodArns"]["AllowedPattern"]
# Entries in which IAM's asterisk, which matches anything, reaches no further than it seems to: API, stage and method
# are written out, and it replaces a whole part of the path. Independent of the template's pattern and compared with it.
SPELLED_OUT = (
    r"arn:[a-z-]+:execute-api:[a-z0-9-]+:[0-9]{12}:[a-z0-9]+/[A-Za-z0-9_$-]+/[A-Z]+/"
    r"(([^*?/$]*|\*)/)*([^*?/$]*|\*)"
)
MODEL = load()


def beyond(pattern: str) -> str | None:
    """Return an entry that a pattern accepts and that is not spelled out."""
    return added({"AllowedPattern": SPELLED_OUT}, {"AllowedPattern": pattern})


def test_the_pattern_accepts_only_entries_that_are_spelled_out() -> None:
    assert beyond(ARN_PATTERN) is None


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("execute-api:[a-z0-9-]+", "execute-api:[a-z0-9*-]+"),
        ("[0-9]{12}", "[0-9*]+"),
        (":[a-z0-9]+/", ":[a-z0-9*]+/"),
        (r"([A-Za-z0-9_-]+|\$default)", "[^/]+"),
        ("(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)", "[A-Z*]+"),
        (r"(\*|[\w.~:@%+=-]*)", r"[\w.~:@%+=*-]*"),
        (r"((\*|[\w.~:@%+=-]+)/)*", r"([\w.~:@%+=?-]+/)*"),
        (r"((\*|[\w.~:@%+=-]+)/)*", "(.+/)*"),
        (ARN_PATTERN, "arn:.+"),
    ],
)
def test_a_wider_pattern_accepts_more(right: str, wrong: str) -> None:
    assert right in ARN_PATTERN
    pattern = ARN_PATTERN.replace(right, wrong)
    found = beyond(pattern)
    assert found
    assert re.fullmatch(pattern, found)
    assert not re.fullmatch(SPELLED_OUT, found)


# --- The guard --------------------------------------------------------------------------------------------------------

ROLE_IDS = ("AROAEXECUTORROLEOFB01", "AROAEXECUTORROLEOFC01")
API = f"arn:aws:execute-api:eu-west-1:{PROVIDER}:a1b2c3d4e5/"


def guards() -> list[Document]:
    """The output GuardStatement of two stacks."""
    stacks = [present(of_parameters("access", {}, physical={"ExecutorRole.RoleId": role_id})) for role_id in ROLE_IDS]
    return [json.loads(stack["Outputs"]["GuardStatement"]["Value"]) for stack in stacks]


def guarded(kind: Kind, statements: list[Document]) -> Claim:
    """Who may call an API with such a policy, whatever their own policies say."""
    return guard_claim(Request(kind, {}), expand(document(statements), API), [f"{API}*"], PROVIDER, ROLE_IDS)


def test_guards_of_several_roles_admit_their_sessions_and_nobody_else_if_the_ids_are_in_one_list() -> None:
    first, second = guards()
    user_ids = [pattern for guard in (first, second) for pattern in guard["Condition"]["StringNotLike"]["aws:userid"]]
    merged = {**first, "Condition": {"StringNotLike": {"aws:userid": user_ids}}}

    right = prove(Property("", lambda _, kind: [guarded(kind, [merged])]), MODEL)
    apart = [guarded(kind, [first, second]) for kind in Kind]

    assert right.proven, right.counterexample
    assert not any(find(claim, claim.allowed) for claim in apart), "two statements shut out both roles"


# --- Another judge ----------------------------------------------------------------------------------------------------


def cases() -> Iterator[tuple[Case, dict[str, Document]]]:
    """Requests to assume the role, and calls with its session, for concrete parameters."""
    organization, path = "o-a1b2c3d4e5", "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/"
    arns = [f"{API}v1/GET/orders", f"{API}v1/GET/orders/*", f"{API}$default/POST/customers/*/orders"]
    common = {"GrantedMethodArns": arns, "ExternalId": "external-id", "SuspendedConsumerIds": ["444444444444"]}
    each: tuple[dict[str, Any], ...] = (
        {"ConsumerAccountIds": [CONSUMER]},
        {"ConsumerAccountIds": [""], "ConsumerOrganizationId": organization},
        {
            "ConsumerAccountIds": [""],
            "ConsumerOrganizationId": organization,
            "ConsumerOrganizationPaths": [f"{path}*"],
            "AllowIdentityCenterUsers": "false",
        },
    )
    for parameters in each:
        role = resolved("access", **common, **parameters)["Resources"]["ExecutorRole"]["Properties"]
        (policy,) = role["Policies"]
        own = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
        documents = {
            "role trust": role["AssumeRolePolicyDocument"],
            "role identity": policy["PolicyDocument"],
            "api resource": document([]),
            "may assume": document([own]),
            "may nothing": document([{**own, "Action": "s3:GetObject"}]),
        }
        for case in (*random.Random(1).sample(list(_assumptions(path)), 250), *_calls()):  # noqa: S311
            yield case, documents


def _assumptions(path: str) -> Iterator[Case]:
    center = "aws-reserved/sso.amazonaws.com/AWSReservedSSO_Dev_1"
    memberships = [
        {"aws:PrincipalOrgID": "o-a1b2c3d4e5", "aws:PrincipalOrgPaths": path},
        {"aws:PrincipalOrgID": "o-a1b2c3d4e5", "aws:PrincipalOrgPaths": f"{path}ou-ab12-22222222/"},
        {"aws:PrincipalOrgID": "o-a1b2c3d4e5", "aws:PrincipalOrgPaths": "o-a1b2c3d4e5/r-ab12/"},
        {"aws:PrincipalOrgID": "o-zzzzzzzzzz", "aws:PrincipalOrgPaths": "o-zzzzzzzzzz/r-ab12/"},
        {},
    ]
    given = itertools.product(
        (CONSUMER, "333333333333", PROVIDER),
        ("user", "role", center),
        memberships,
        ("external-id", "external-ie", ""),
        ("own", "222222222222-job", "job"),
        ("true", ""),
        ("may assume", "may nothing"),
    )
    for account, who, membership, external_id, session, mfa, identity in given:
        name = f"{account}-job" if session == "own" else session
        principal = (
            Principal("user", f"arn:aws:iam::{account}:user/ann", "User", "AIDAEXAMPLEEXAMPLE001")
            if who == "user"
            else Principal(who, f"arn:aws:iam::{account}:role/{who}", "AssumedRole", "AROAEXAMPLEEXAMPLE01:x", "x")
        )
        context = {"sts:ExternalId": external_id, "aws:MultiFactorAuthPresent": mfa, "sts:RoleSessionName": name}
        context = {key: value for key, value in context.items() if value} | membership
        role = f"arn:aws:iam::{PROVIDER}:role/executor"
        yield Case(principal, "sts:AssumeRole", role, (identity,), "role trust", context)


def _calls() -> Iterator[Case]:
    read = ("GET/orders", "GET/orders/7", "GET/orders/7/lines", "GET/orders2")
    written = ("POST/orders", "DELETE/orders/7", "POST/customers/7/orders", "POST/customers/7/lines")
    for session, stage, method in itertools.product(
        (f"{CONSUMER}-job", "444444444444-job"), ("v1", "v2", "$default"), (*read, *written)
    ):
        role = f"arn:aws:iam::{PROVIDER}:role/executor"
        principal = Principal("session", role, "AssumedRole", f"{ROLE_IDS[0]}:{session}", session)
        yield Case(principal, "execute-api:Invoke", f"{API}{stage}/{method}", ("role identity",), "api resource")


@pytest.mark.slow
def test_an_oracle_agrees_on_every_case() -> None:
    by_documents: dict[str, tuple[dict[str, Document], list[Case]]] = {}
    for case, documents in cases():
        by_documents.setdefault(json.dumps(documents), (documents, []))[1].append(case)
    allowed_at_all = 0
    for documents, some in by_documents.values():
        ours = [decide(case, documents).allowed for case in some]
        theirs = reach(some, documents)
        assert [(case, us) for case, us, them in zip(some, ours, theirs, strict=True) if us is not them] == []
        allowed_at_all += sum(ours)
    assert allowed_at_all > 30
