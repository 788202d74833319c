"""How far a deployment reaches: proven for every action and resource, and refuted by a fault in any statement."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from cross_account_access import deploy_role
from cross_account_access.deploy_role import FILE, SETTINGS, Setting, setting
from cross_account_access.documents import listed
from cross_account_access.engine.evaluator import identity_allows
from cross_account_access.engine.fields import TRUE, all_of, any_of
from cross_account_access.engine.intrinsics import Template
from cross_account_access.engine.request import Kind, Request
from cross_account_access.model import load
from cross_account_access.proof import Claim, refutation
from cross_account_access.report import properties_of
from cross_account_access.templates import ACCOUNTS, PROJECT, REGION, present, rules_of
from tests.templates.access.mutations import changes

type Claims = Callable[[Setting], Iterator[Claim]]
type Statement = dict[str, Any]

TEMPLATE: dict[str, Any] = yaml_parse((PROJECT / FILE).read_text())
ACCOUNT_A, ACCOUNT_B = (setting(TEMPLATE, **values) for values in SETTINGS.values())
CLAIMS: dict[str, tuple[Claims, ...]] = {
    "DeployRole trust": (deploy_role.trust_claims,),
    "DeployRole identity": (deploy_role.rights_claims, deploy_role.reach_claims),
    "Boundary identity": (deploy_role.boundary_claims,),
    "SmokeTestRole trust": (deploy_role.trust_claims,),
    "SmokeTestRole identity": (deploy_role.smoke_test_claims,),
}


def refuted(deployed: Setting, claims: tuple[Claims, ...]) -> str:
    return next((found for make in claims for claim in make(deployed) if (found := refutation(claim))), "")


def test_make_access_proves_every_property(tmp_path: Path) -> None:
    model = load()
    assert set(deploy_role.PROPERTIES) <= set(properties_of(model))
    assert not set(deploy_role.PROPERTIES) & set(properties_of(replace(model, folder=tmp_path)))
    for prop in deploy_role.PROPERTIES:
        assert list(prop.violations(model)) == []


def test_every_policy_of_the_template_is_read() -> None:
    assert {*CLAIMS, "PackagesBucket resource"} == set(ACCOUNT_B.policies)
    text = (PROJECT / FILE).read_text()
    read = {
        statement["Sid"]
        for deployed in (ACCOUNT_A, ACCOUNT_B)
        for one in deployed.policies.values()
        for statement in one
    }
    assert read == set(re.findall(r"Sid: (\w+)", text))


def test_the_stack_s_api_can_be_made_and_changed() -> None:
    """A new API has no tags yet; what is below an API has the API's."""
    about = ("CreateApi", "ReadApis", "ManageApi", "TagApis")
    statements = [one for one in ACCOUNT_A.policies["DeployRole identity"] if one["Sid"] in about]
    request = Request(Kind.ROLE, {})
    apis, tags = ACCOUNT_A.arns("apigateway:{region}::/restapis", "apigateway:{region}::/tags/*")
    tag = request.key("aws:ResourceTag/aws:cloudformation:stack-name")
    changes = request.action.like(*(f"apigateway:{verb}" for verb in ("delete", "get", "patch", "post", "put")))
    needed = any_of(
        all_of(request.action.like("apigateway:post", "apigateway:updaterestapipolicy"), request.resource.like(apis)),
        all_of(changes, request.resource.like(f"{apis}/*"), tag.present, tag.like("orders-api")),
        all_of(request.action.like("apigateway:get"), request.resource.like(f"{apis}/*", tags)),
        all_of(request.action.like("apigateway:put", "apigateway:delete"), request.resource.like(tags)),
    )
    assert refutation(Claim(request, TRUE, identity_allows(request, statements), TRUE, needed)) == ""


# --- Seeded faults in statements --------------------------------------------------------------------------------------


def wider(statement: Statement) -> Iterator[tuple[str, list[Statement]]]:
    """Rights that let a role gain more, and names up to each of their separators."""
    if statement["Effect"] == "Allow":
        own = listed(statement["Action"])
        for more in ("CreatePolicyVersion", "AttachRolePolicy", "DeleteRolePermissionsBoundary"):
            yield f"iam:{more} as well", [{**statement, "Action": [*own, f"iam:{more}"]}]
        for arn in listed(statement.get("Resource", "*")):
            *head, last = arn.split(":", 5)
            for end in (match.start() for match in re.finditer(r"(?<=\w)[-/:]", last)):
                name = ":".join([*head, f"{last[:end]}*"])
                yield f"{last} as {last[:end]}*", [{**statement, "Resource": [*listed(statement["Resource"]), name]}]


def faults(document: str, deployed: Setting) -> Iterator[tuple[str, list[Statement]]]:
    statements = deployed.policies[document]
    denials = [statement for statement in statements if statement["Effect"] == "Deny"]
    for index, statement in enumerate(statements):
        for what, wrong in (*changes(statement, ACCOUNTS["b"]), *wider(statement)):
            # An Allow that says too much does so whatever the others say, but for the denials.
            alone = document == "DeployRole identity" and statement["Effect"] == "Allow"
            whole = [*statements[:index], *wrong, *statements[index + 1 :]]
            yield f"{document}: {statement['Sid']}: {what}", [*wrong, *denials] if alone else whole
    added = {"Sid": "Added", "Effect": "Allow", "Action": "*"}
    yield (
        f"{document}: added",
        [*denials, {**added, "Principal": "*"} if "trust" in document else {**added, "Resource": "*"}],
    )


# What adds nothing, and why.
HARMLESS = {
    r"\w+ trust: \w+: (iam:\w+ as well|one action more)": "a token can do nothing but AssumeRoleWithWebIdentity",
    r"\w+ trust: \w+: principal ec2 added": "only a token has the keys of its provider",
    r".*: every action of (apigateway|cloudwatch|scheduler)": "on the stack's own; none of them reads data",
    r".*DenyChangingItself: without .*-Boundary-.*": "no policy can be changed anyway",
    r".*StringNotEquals .* with StringNotEqualsIfExists": "a negated condition holds without the key anyway",
    r"DeployRole trust: .* StringNotEquals .*:sub with one value less": "the other list has only the last of them",
    r"DeployRole identity: (?!Deny)\w+: (left out|effect turned round|one action (less|more)|.* with one value less)": (
        "it is not known what a deployment needs, and tags are its stack's"
    ),
}


@pytest.mark.parametrize("document", CLAIMS)
def test_every_seeded_fault_is_refuted(document: str) -> None:
    alive: list[str] = []
    found = 0
    for what, statements in faults(document, ACCOUNT_B):
        wrong = replace(ACCOUNT_B, policies={**ACCOUNT_B.policies, document: statements})
        if refuted(wrong, CLAIMS[document]):
            found += 1
        else:
            alive.append(what)
    assert found >= 10
    assert [what for what in alive if not any(re.fullmatch(rule, what) for rule in HARMLESS)] == []


# --- Faults in the template -------------------------------------------------------------------------------------------


def trust(role: str, resources: dict[str, Any]) -> Statement:
    (statement,) = resources[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    found: Statement = statement
    return found


TOKEN = "token.actions.githubusercontent.com"
SUBJECTS = {"StringEquals": {f"{TOKEN}:aud": "sts.amazonaws.com", f"{TOKEN}:sub": {"Ref": "Subjects"}}}
POLICY = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
MORE: dict[str, dict[str, Any]] = {
    "another role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}},
    "a policy for people": {"Type": "AWS::IAM::Policy", "Properties": {"Users": ["ann"]}},
    "a policy for another role": {"Type": "AWS::IAM::Policy", "Properties": {"Roles": ["admin"]}},
    "another managed policy": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {}},
    "a second policy for the role": {"Type": "AWS::IAM::Policy", "Properties": {"Roles": [{"Ref": "DeployRole"}]}},
    "a resource of a kind that is not known": {"Type": "AWS::Lambda::Url"},
}
CHANGED: dict[str, tuple[str, dict[str, Any]]] = {
    "a managed policy": ("DeployRole", {"ManagedPolicyArns": ["arn:aws:iam::aws:policy/AdministratorAccess"]}),
    "an inline policy": ("DeployRole", {"Policies": [{"PolicyName": "More", "PolicyDocument": POLICY}]}),
    "the boundary as a policy": ("Boundary", {"Users": ["ann"]}),
}
TRUST: dict[str, tuple[str, dict[str, Any]]] = {
    "one list for both roles": ("SmokeTestRole", {"Condition": SUBJECTS}),
    "whoever tests may deploy": ("DeployRole", {"Condition": SUBJECTS}),
    "another provider": ("DeployRole", {"Principal": {"Federated": "accounts.google.com"}}),
    "a person": ("SmokeTestRole", {"Principal": {"AWS": "111111111111"}}),
}


@pytest.mark.parametrize("fault", [*MORE, *CHANGED, *TRUST])
def test_a_fault_in_the_template_is_refuted(fault: str, tmp_path: Path) -> None:
    template = copy.deepcopy(TEMPLATE)
    resources = template["Resources"]
    if fault in MORE:
        more = MORE[fault]
        resources["Other"] = {**more, "Properties": {"PolicyDocument": POLICY, **more.get("Properties", {})}}
    elif fault in CHANGED:
        name, properties = CHANGED[fault]
        resources[name]["Properties"].update(properties)
    else:
        role, elements = TRUST[fault]
        trust(role, resources).update(elements)
    (tmp_path / FILE).write_text(json.dumps(template))
    model = replace(load(), folder=tmp_path)
    assert any(list(prop.violations(model)) for prop in deploy_role.PROPERTIES)


# --- The parameters ---------------------------------------------------------------------------------------------------

A, B, C = (f"repo:owner/repo:environment:{name}" for name in "abc")


@pytest.mark.parametrize(
    ("subjects", "testers", "executor", "broken"),
    [
        ([A], [""], "", set()),
        ([A], [C], "arn:aws:iam::111111111111:role/x", set()),
        ([A, B], [B], "arn:aws:iam::111111111111:role/x", {"SmokeTestHasOtherSubjects"}),
        ([A], [C], "", {"SmokeTestNeedsExecutorRole"}),
    ],
)
def test_whoever_tests_is_not_among_those_who_deploy(
    subjects: list[str], testers: list[str], executor: str, broken: set[str]
) -> None:
    values = {"Subjects": subjects, "SmokeTestSubjects": testers, "ExecutorRoleArn": executor}
    assert {name for name, holds in rules_of(TEMPLATE, values).items() if not holds} == broken


def test_the_audience_is_that_of_the_partition() -> None:
    for partition, audience in (("aws", "sts.amazonaws.com"), ("aws-cn", "sts.amazonaws.com.cn")):
        values = {**ACCOUNT_B.values, "OidcProviderArn": "", "AWS::Partition": partition}
        resources = present(Template(TEMPLATE, values, ACCOUNTS["b"], REGION, physical=values))["Resources"]
        assert resources["OidcProvider"]["Properties"]["ClientIdList"] == [audience]
        for role in ("DeployRole", "SmokeTestRole"):
            condition = trust(role, resources)["Condition"]["StringEquals"]
            assert condition["token.actions.githubusercontent.com:aud"] == audience
