"""What template-access.yaml grants and whom it trusts, proven for whatever its parameters hold.

Where a parameter is a symbol, a proof is one for every value that the template accepts.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import z3

from access.access_stack import alone_claim, guard_claim, trust_claim
from access.documents import Document, document, expand
from access.engine.case import Case, Principal
from access.engine.decision import decide
from access.engine.evaluator import identity_allows
from access.engine.fields import NotModelledError
from access.engine.request import Kind, Request
from access.model import Intent, Model, load
from access.properties import Claim, Property, Verdict, find, prove, suspended
from access.templates import ACCOUNTS, parameters_of, resolve, resolved, source
from tests.access.mutations import _changes
from tests.access.oracles import reach, simulate
from tests.access.symbolic import FreeRequest, Symbols, find_outside

PROVIDER, CONSUMER = ACCOUNTS["a"], ACCOUNTS["b"]
ARN_PATTERN = source("access")["Parameters"]["GrantedMethodArns"]["AllowedPattern"]
# Entries in which IAM's asterisk, which matches anything, reaches no further than it seems to: API, stage and method
# are written out, and it replaces a whole part of the path. Independent of the template's pattern and compared with it.
METHOD = r"arn:[a-z-]+:execute-api:[a-z0-9-]+:[0-9]{12}:[a-z0-9]+/[A-Za-z0-9_$-]+/[A-Z]+/"
SPELLED_OUT = METHOD + r"(([^*?/$]*|\*)/)*([^*?/$]*|\*)"
IDENTITY_CENTER = "arn:*:iam::*:role/aws-reserved/sso.amazonaws.com/*"


type Claims = Callable[[Deployment, Kind], Iterator[Claim]]


@dataclass(frozen=True)
class Deployment:
    """The role's policies for some parameters, and what these ask for.

    Attributes:
        trust: The trust policy.
        identity: The role's own policy.
        parameters: The parameters.
        pattern: What the entries of GrantedMethodArns are like.
    """

    trust: Document
    identity: Document
    parameters: dict[str, Any] = field(repr=False)
    pattern: str = ARN_PATTERN

    @classmethod
    def of(cls, **parameters: Any) -> Deployment:
        """Work the template out."""
        given = {"GrantedMethodArns": ["<arn 1>", "<arn 2>"], "ExternalId": "<external id>", **parameters}
        role = resolved("access", **given)["Resources"]["ExecutorRole"]["Properties"]
        (policy,) = role["Policies"]
        return cls(role["AssumeRolePolicyDocument"], policy["PolicyDocument"], parameters_of("access", **given))


ORGANIZATION = {"ConsumerAccountIds": [""], "ConsumerOrganizationId": "<organization>"}
DEPLOYMENTS = {
    "accounts": Deployment.of(CallerPrincipalArns=["<callers 1>"]),
    "accounts, narrowed": Deployment.of(
        ConsumerAccountIds=[CONSUMER, "444444444444"],
        PreviousExternalId="<previous external id>",
        CallerPrincipalArns=["<callers 1>", "<callers 2>"],
        AllowIdentityCenterUsers="false",
        SuspendedConsumerIds=["444444444444", "555555555555"],
    ),
    "organization": Deployment.of(
        **ORGANIZATION, CallerPrincipalArns=["<callers 1>"], RequireMfaForUsers="false", PreviousExternalId="<previous>"
    ),
    "organization, narrowed": Deployment.of(
        **ORGANIZATION,
        ConsumerOrganizationPaths=["<path 1>", "<path 2>"],
        CallerPrincipalArns=["<callers 1>", "<callers 2>"],
        AllowIdentityCenterUsers="false",
        SuspendedConsumerIds=["555555555555"],
    ),
}


# --- Nothing beyond what is listed ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """An entry of GrantedMethodArns.

    Attributes:
        matches: When IAM matches it with the resource of the request.
        arn: The entry.
        folder: The part of it in front of its first asterisk, or of the last slash.
        has_wildcard: Whether it has an asterisk.
        known: What is known of them.
    """

    matches: Any
    arn: Any
    folder: Any
    has_wildcard: Any
    known: Any

    @classmethod
    def free(cls, name: str, resource: Any, pattern: str) -> Entry:
        """Make any entry that a pattern accepts."""
        arn, folder, rest = (z3.String(f"{name} {part}") for part in ("arn", "folder", "rest"))
        has_wildcard, matches = z3.Bool(f"{name} has a wildcard"), z3.Bool(f"{name} matches")
        known = [arn == z3.Concat(folder, rest), z3.Implies(resource == arn, matches)]
        # IAM matches what is in front of the first wildcard as it is written. In an entry that is spelled out, that
        # includes API, stage and method and ends with a slash.
        if not find_outside(pattern, SPELLED_OUT):
            below = z3.If(has_wildcard, z3.PrefixOf(folder, resource), resource == arn)
            known.append(z3.Implies(matches, below))
        return cls(matches, arn, folder, has_wildcard, z3.And(*known))


def _matching(entry: Entry) -> Callable[[Any], Any]:
    return lambda _: entry.matches


def grants(deployment: Deployment, kind: Kind) -> Iterator[Claim]:
    if kind is not Kind.ROLE:
        return
    resource = z3.String("resource")
    names = deployment.parameters["GrantedMethodArns"]
    entries = {name: Entry.free(name, resource, deployment.pattern) for name in names}
    request = FreeRequest(kind, {name: _matching(entry) for name, entry in entries.items()})
    is_suspended = suspended(request, Intent.of(deployment.parameters))
    invokes = z3.And(request.action.like("execute-api:invoke"), z3.Not(is_suspended))
    within = [
        z3.If(entry.has_wildcard, z3.PrefixOf(entry.folder, resource), resource == entry.arn)
        for entry in entries.values()
    ]
    listed = [resource == entry.arn for entry in entries.values()]
    known = z3.And(*(entry.known for entry in entries.values()))
    decision = identity_allows(request, deployment.identity["Statement"])
    yield Claim(request, known, decision, z3.And(invokes, z3.Or(*within)), z3.And(invokes, z3.Or(*listed)))


# --- Nobody but the consumers -----------------------------------------------------------------------------------------


def trust_symbols(deployment: Deployment) -> Symbols:
    """External ids and organizations are themselves; a path may end with an asterisk; callers are any set."""

    def equals(name: str) -> Any:
        return lambda term: term == z3.String(name)

    def below(name: str) -> Any:
        path, wild = z3.String(name), z3.Bool(f"{name} ends with an asterisk")
        return lambda term: z3.If(wild, z3.PrefixOf(path, term), term == path)

    names = {
        name for value in deployment.parameters.values() for name in (value if isinstance(value, list) else [value])
    }
    return {name: below(name) if name.startswith("<path") else equals(name) for name in names if name.startswith("<")}


def trusts(deployment: Deployment, kind: Kind) -> Iterator[Claim]:
    asked = Intent.of(deployment.parameters)
    yield trust_claim(_assumption(deployment, kind), deployment.trust["Statement"], asked, PROVIDER)


def trusts_alone(deployment: Deployment, kind: Kind) -> Iterator[Claim]:
    yield alone_claim(_assumption(deployment, kind), deployment.trust["Statement"], PROVIDER)


def _assumption(deployment: Deployment, kind: Kind) -> FreeRequest:
    keys = ("sts:externalid", "aws:principalorgid", "aws:principalorgpaths")
    return FreeRequest(kind, trust_symbols(deployment), keys)


PROPERTIES: dict[Claims, str] = {
    grants: "The role may do nothing but call methods that GrantedMethodArns lists or that lie below the part of the"
    " path in front of a listed asterisk, and may call all that are listed, unless its session is of a suspended"
    " consumer",
    trusts: "The role can be assumed exactly by role sessions and by users with MFA of the consumer accounts, or of"
    " accounts of the organization and its paths other than the provider's, with an external id and a session name"
    " bound to their account",
    trusts_alone: "Nobody can assume the role without a permission of their own account",
}


def proof(claims: Claims, deployment: Deployment) -> Verdict:
    return prove(Property(PROPERTIES[claims], lambda _, kind: claims(deployment, kind)), MODEL)


MODEL: Model = load()


@pytest.mark.parametrize("deployment", DEPLOYMENTS.values(), ids=DEPLOYMENTS)
@pytest.mark.parametrize("claims", PROPERTIES)
def test_the_template_does_exactly_what_is_claimed(claims: Claims, deployment: Deployment) -> None:
    verdict = proof(claims, deployment)
    assert verdict.proven, verdict.counterexample


@pytest.mark.parametrize("deployment", DEPLOYMENTS.values(), ids=DEPLOYMENTS)
def test_no_property_is_empty(deployment: Deployment) -> None:
    for claims in PROPERTIES:
        made = [claim for kind in Kind for claim in claims(deployment, kind)]
        assert any(find(claim, z3.Not(claim.allowed)) for claim in made)
        assert any(find(claim, claim.allowed) for claim in made) == (claims is not trusts_alone)


# --- Faults -----------------------------------------------------------------------------------------------------------


def faults(deployment: Deployment, name: str) -> Iterator[tuple[str, Deployment]]:
    """Seed faults into one of the policies, one at a time."""
    right = getattr(deployment, name)["Statement"]
    for index, statement in enumerate(right):
        for what, wrong in (*_changes(statement, MODEL), *_quantified(statement)):
            changed = document([*right[:index], *wrong, *right[index + 1 :]])
            if not re.search("ForAllValues:ForAnyValue|ForAnyValue:StringLikeIfExists", json.dumps(changed)):
                faulty = (
                    replace(deployment, trust=changed) if name == "trust" else replace(deployment, identity=changed)
                )
                yield f"{statement['Sid']}: {what}", faulty


def _quantified(statement: Document) -> Iterator[tuple[str, list[Document]]]:
    condition = statement.get("Condition", {})
    for operator in (name for name in condition if name.startswith("ForAnyValue:")):
        others = {name: block for name, block in condition.items() if name != operator}
        wrong = operator.replace("ForAnyValue", "ForAllValues")
        yield f"{operator} turned into {wrong}", [{**statement, "Condition": {**others, wrong: condition[operator]}}]


# Faults that change nothing that anybody could do; each with the reason.
HARMLESS = {
    r".* (aws:PrincipalType|aws:PrincipalArn|aws:PrincipalAccount|sts:RoleSessionName|aws:userid) with"
    r" (\w+IfExists|ForAllValues:\w+)": "the key is present in every such request",
    r".*: StringEquals aws:PrincipalType with its first half and \*": "no other type of principal begins so",
}


def test_every_seeded_fault_is_refuted() -> None:
    killed: set[str] = set()
    alive: set[str] = set()
    for deployment in (DEPLOYMENTS["accounts, narrowed"], DEPLOYMENTS["organization, narrowed"]):
        for name, readers in {"identity": [grants], "trust": [trusts, trusts_alone]}.items():
            for fault, faulty in faults(deployment, name):
                if fault not in killed:
                    (alive if _is_proven(faulty, *readers) else killed).add(fault)
    alive -= killed
    assert not {fault for fault in alive if not any(re.fullmatch(rule, fault) for rule in HARMLESS)}
    assert not {rule for rule in HARMLESS if not any(re.fullmatch(rule, fault) for fault in alive)}
    assert len(killed) > 150


def _is_proven(deployment: Deployment, *properties: Any) -> bool:
    try:
        return all(proof(claims, deployment).proven for claims in properties)
    except NotModelledError:
        # Half of a symbol, for example: what is not modelled is never proven.
        return False


def _pattern_with(right: str, wrong: str) -> str:
    assert right in ARN_PATTERN
    return str(ARN_PATTERN.replace(right, wrong))


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
def test_a_wider_pattern_is_refuted(right: str, wrong: str) -> None:
    verdict = proof(grants, replace(DEPLOYMENTS["accounts"], pattern=_pattern_with(right, wrong)))
    assert "allowed, but not intended" in verdict.counterexample


def test_the_pattern_accepts_only_entries_that_are_spelled_out() -> None:
    assert find_outside(ARN_PATTERN, SPELLED_OUT) == ""
    assert find_outside(METHOD, "[^*?]+") == ""
    assert re.fullmatch(SPELLED_OUT, find_outside(SPELLED_OUT, ARN_PATTERN))


# --- The guard --------------------------------------------------------------------------------------------------------

ROLE_IDS = ("AROAEXECUTORROLEOFB01", "AROAEXECUTORROLEOFC01")
API = f"arn:aws:execute-api:eu-west-1:{PROVIDER}:a1b2c3d4e5/"


def guards() -> list[Document]:
    """The output GuardStatement of two stacks."""
    stacks = [resolve("access", {}, physical={"ExecutorRole.RoleId": role_id}) for role_id in ROLE_IDS]
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


# --- Two other judges -------------------------------------------------------------------------------------------------


def cases() -> Iterator[tuple[Case, dict[str, Document]]]:
    """Requests to assume the role, and calls with its session, for concrete parameters."""
    organization, path = "o-a1b2c3d4e5", "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/"
    arns = [f"{API}v1/GET/orders", f"{API}v1/GET/orders/*", f"{API}$default/POST/customers/*/orders"]
    common = {"GrantedMethodArns": arns, "ExternalId": "external-id", "SuspendedConsumerIds": ["444444444444"]}
    for parameters in (
        {"ConsumerAccountIds": [CONSUMER]},
        {"ConsumerAccountIds": [""], "ConsumerOrganizationId": organization},
        {
            "ConsumerAccountIds": [""],
            "ConsumerOrganizationId": organization,
            "ConsumerOrganizationPaths": [f"{path}*"],
            "AllowIdentityCenterUsers": "false",
        },
    ):
        deployment = Deployment.of(**common, **parameters)
        own = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
        documents = {
            "role trust": deployment.trust,
            "role identity": deployment.identity,
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


@pytest.mark.usefixtures("node")
def test_two_other_judges_agree_on_every_case() -> None:
    by_documents: dict[str, tuple[dict[str, Document], list[Case]]] = {}
    for case, documents in cases():
        by_documents.setdefault(json.dumps(documents), (documents, []))[1].append(case)
    allowed_at_all = 0
    for documents, some in by_documents.values():
        ours = [decide(case, documents).allowed for case in some]
        for judge in (reach, simulate):
            theirs = judge(some, documents)
            wrong = [(str(case), us, them) for case, us, them in zip(some, ours, theirs, strict=True) if us is not them]
            assert not wrong, f"{judge.__name__}: {len(wrong)} of {len(some)}: {wrong[:3]}"
        allowed_at_all += sum(ours)
    assert allowed_at_all > 30
