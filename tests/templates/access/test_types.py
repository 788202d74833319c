"""The list of types covers the schemas, and calls nothing neutral that a name, a format or a handler speaks against."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from cross_account_access.engine import types
from cross_account_access.engine.types import Change, Use, classify
from tests.templates.stacks import schema

# Names of properties that may have to do with access.
SPEAKING = re.compile(
    "polic|principal|role|permission|acl|access|auth|public|cidr|grant|trust|credential|secret|password|token|invoke|share"
    "|account",
    re.I,
)
# Calls that a deployment makes to give rights, or to let a service use a role.
GIVING = re.compile(r":(\w*(Policy|Permission|PublicAccess|Acl|Grant|ResourceShare)\w*|PassRole)$")
# Why a type without any property of this kind may make them all the same.
GIVES_NOTHING = {"AWS::ApplicationAutoScaling::ScalingPolicy": "a policy of scaling"}


def writable(kind: str) -> set[str]:
    read_only = {path.split("/")[2] for path in schema(kind).get("readOnlyProperties", []) if path.count("/") == 2}
    return set(schema(kind)["properties"]) - read_only


def paths(kind: str) -> list[str]:
    row = types.table()[kind]
    groups = [row.get(use, []) for use in ("modelled", "runs as", "own", "new", "not judged")]
    return [path for group in (*groups, *row.get("neutral", {}).values()) for path in group]


def listed(kind: str) -> set[str]:
    return {path.split("=")[0] for path in paths(kind)}


def test_every_property_of_the_schemas_is_in_the_list_and_no_other() -> None:
    always = {"Tags", "Description"}
    for kind in types.table():
        assert {path.split(".")[0] for path in listed(kind)} - always == writable(kind) - always, kind


def test_a_property_has_one_use() -> None:
    for kind in types.table():
        assert sorted(paths(kind)) == sorted(set(paths(kind))), kind


def test_nothing_is_neutral_that_its_name_or_its_format_speaks_against_but_for_a_reason_of_its_own() -> None:
    usual = {reason for row in types.table().values() for reason in row.get("neutral", {})}
    usual = {reason for reason in usual if reason.startswith("names, texts")}
    assert len(usual) == 1
    caught = []
    for kind, row in types.table().items():
        other = listed(kind) - {path for reason in usual for path in row.get("neutral", {}).get(reason, [])}
        for name in [path for reason in usual for path in row.get("neutral", {}).get(reason, [])]:
            for path, node in walk(schema(kind), schema(kind)["properties"][name], (name,)):
                dotted = ".".join(path)
                if any(dotted == entry or dotted.startswith(f"{entry}.") for entry in other):
                    continue
                kind_of_text = str(node.get("format", ""))
                if SPEAKING.search(path[-1]) or kind_of_text == "json" or kind_of_text.startswith("AWS::IAM::"):
                    caught.append((kind, dotted))
    assert caught == []


def test_a_type_whose_deployment_gives_rights_has_a_property_that_is_looked_at() -> None:
    silent = {}
    for kind, row in types.table().items():
        handlers = schema(kind).get("handlers", {})
        calls = {call for name in ("create", "update") for call in handlers.get(name, {}).get("permissions", [])}
        if (giving := [call for call in calls if GIVING.search(call)]) and set(row) == {"neutral"}:
            silent[kind] = giving
    assert set(silent) == set(GIVES_NOTHING), silent


def walk(
    root: dict[str, Any], node: dict[str, Any], path: tuple[str, ...], seen: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield every property below a node of a schema, with its path."""
    if "$ref" in node:
        if node["$ref"] in seen:
            return
        seen = (*seen, node["$ref"])
        found: Any = root
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = {**found, **{key: value for key, value in node.items() if key != "$ref"}}
    yield path, node
    for name, below in node.get("properties", {}).items():
        yield from walk(root, below, (*path, name), seen)
    others = [node.get("items"), *node.get("patternProperties", {}).values()]
    others += [item for word in ("anyOf", "oneOf", "allOf") for item in node.get(word, [])]
    for below in others:
        if isinstance(below, dict):
            yield from walk(root, below, path, seen)


QUEUE = {"Fn::GetAtt": ["Queue", "Arn"]}
OWN = {"Queue", "Function"}


@pytest.mark.parametrize(
    ("kind", "name", "after", "change", "use"),
    [
        ("AWS::SQS::Queue", "VisibilityTimeout", 30, Change.CHANGED, Use.NEUTRAL),
        ("AWS::SQS::Queue", "Tags", [], Change.CHANGED, Use.NEUTRAL),
        ("AWS::SQS::Queue", "NoSuchProperty", 1, Change.CHANGED, Use.NOT_JUDGED),
        ("AWS::SQS::Queue", "KmsMasterKeyId", "alias/one", Change.NEW, Use.NEUTRAL),
        ("AWS::SQS::Queue", "KmsMasterKeyId", "alias/one", Change.CHANGED, Use.NOT_JUDGED),
        ("AWS::SQS::Queue", "KmsMasterKeyId", None, Change.REMOVED, Use.NEUTRAL),
        ("AWS::WAFv2::WebACLAssociation", "WebACLArn", None, Change.REMOVED, Use.NOT_JUDGED),
        ("AWS::S3::Bucket", "AccessControl", "Private", Change.NEW, Use.NEUTRAL),
        ("AWS::S3::Bucket", "AccessControl", "PublicRead", Change.NEW, Use.NOT_JUDGED),
        ("AWS::S3::Bucket", "AccessControl", "Private", Change.CHANGED, Use.NOT_JUDGED),
        ("AWS::S3::BucketPolicy", "PolicyDocument", {}, Change.CHANGED, Use.MODELLED),
        ("AWS::No::Such", "Tags", [], Change.NEW, Use.NOT_JUDGED),
        ("Custom::Grant", "ServiceToken", "arn", Change.NEW, Use.NOT_JUDGED),
        ("AWS::DynamoDB::Table", "StreamSpecification", {"StreamViewType": "KEYS_ONLY"}, Change.NEW, Use.NEUTRAL),
        ("AWS::DynamoDB::Table", "StreamSpecification", {"ResourcePolicy": {}}, Change.NEW, Use.NOT_JUDGED),
        ("AWS::Events::Rule", "Targets", [{"Id": "a", "Arn": QUEUE, "Input": "https://x"}], Change.NEW, Use.NEUTRAL),
        ("AWS::Events::Rule", "Targets", [{"Arn": "arn:aws:sqs:r:999999999999:"}], Change.NEW, Use.NOT_JUDGED),
        ("AWS::Events::Rule", "Targets", [{"Arn": {"Fn::If": ["C", QUEUE, {"Ref": "P"}]}}], Change.NEW, Use.NOT_JUDGED),
    ],
)  # fmt: skip
def test_classify(kind: str, name: str, after: Any, change: Change, use: Use) -> None:
    assert classify(kind, name, None, after, change=change, own=OWN) is use


@pytest.mark.parametrize(
    ("value", "own"),
    [
        (QUEUE, True),
        ({"Fn::GetAtt": "Queue.Arn"}, True),
        ({"Ref": "Queue"}, True),
        ({"Ref": "AlarmEmail"}, False),
        ({"Fn::Sub": "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:other"}, True),
        ({"Fn::Sub": "arn:aws:sqs:${AWS::Region}:${Account}:other"}, False),
        ({"Fn::Sub": ["${Q}", {"Q": QUEUE}]}, True),
        ({"Fn::Sub": "${!Q}:${Queue.Arn}"}, True),
        ({"Fn::Join": [":", ["arn:aws:sqs:eu-west-1", "999999999999", "q"]]}, False),
        ({"Fn::ImportValue": "queue"}, False),
        ("arn:aws:s3:::other", False),
        ({"Fn::Sub": "arn:aws:s3:::${Queue}"}, True),
        ("https://example.com", False),
        ("a@example.com", False),
        ("999999999999", False),
        ("lambda", True),
        (
            {
                "Fn::Sub": "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/"
                "${Function.Arn}/invocations"
            },
            True,
        ),
        (
            {
                "Fn::Sub": "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/"
                "arn:aws:lambda:eu-west-1:999999999999:function:f/invocations"
            },
            False,
        ),
    ],
)
def test_is_own(value: Any, own: bool) -> None:
    assert types.is_own(value, OWN) is own


def test_roles_are_found_in_every_place() -> None:
    targets = [{"Arn": QUEUE, "RoleArn": "one"}, {"Arn": QUEUE, "RoleArn": "two"}]
    assert list(types.roles("AWS::Events::Rule", {"Targets": targets})) == [
        ("Targets.RoleArn", "one"),
        ("Targets.RoleArn", "two"),
    ]
    assert list(types.roles("AWS::No::Such", {"RoleArn": "one"})) == []
