"""What template-access.yaml grants and whom it trusts, beyond what the properties of the report say."""

import json
import re

from cross_account_access.access_stack import guard_claim
from cross_account_access.documents import Document, document, expand
from cross_account_access.engine.languages import added
from cross_account_access.engine.request import Kind, Request
from cross_account_access.model import load
from cross_account_access.proof import Claim, Property, find, prove
from cross_account_access.templates import ACCOUNTS, of_parameters, present, source

PROVIDER, CONSUMER = ACCOUNTS["a"], ACCOUNTS["b"]
ARN_PATTERN = source("access")["Parameters"]["GrantedMethodArns"]["AllowedPattern"]
# Entries in which IAM's asterisk, which matches anything, reaches no further than it seems to: API, stage and method
# are written out, and it replaces a whole part of the path. Independent of the template's pattern and compared with it.
SPELLED_OUT = (
    r"arn:[a-z-]+:execute-api:[a-z0-9-]+:[0-9]{12}:[a-z0-9]+/[A-Za-z0-9_$-]+/[A-Z]+/"
    r"(([^*?/$]*|\*)/)*([^*?/$]*|\*)"
)
MODEL = load()


def test_the_pattern_accepts_only_entries_that_are_spelled_out() -> None:
    assert added({"AllowedPattern": SPELLED_OUT}, {"AllowedPattern": ARN_PATTERN}) is None
    wider = ARN_PATTERN.replace("(GET|", "([A-Z*]+|")
    more = added({"AllowedPattern": SPELLED_OUT}, {"AllowedPattern": wider})
    assert more
    assert not re.fullmatch(SPELLED_OUT, more)


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
