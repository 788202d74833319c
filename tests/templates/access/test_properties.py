"""The properties hold for every possible request, and seeded faults refute them."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from cross_account_access.contract import CONTRACT
from cross_account_access.engine.request import Kind
from cross_account_access.model import Model, load
from cross_account_access.proof import Property, refutation
from cross_account_access.properties import PROPERTIES
from cross_account_access.report import Report, examine, properties_of
from cross_account_access.variants import variants
from tests.templates.access.mutations import faults

VARIANTS = variants()
ALL = properties_of(VARIANTS["defaults"])


def test_the_templates_have_every_property(good: Report) -> None:
    refuted = {proof.property.sentence: proof.verdict for proof in good.proofs if not proof.verdict.proven}
    assert refuted == {}
    assert [proof.property for proof in good.proofs] == [*ALL]
    assert set(good.variants) == set(VARIANTS)


def test_another_api_in_these_templates_has_every_property(second: Path) -> None:
    found = examine(variants(second), {})
    assert [(proof.property.sentence, proof.verdict) for proof in found.proofs if not proof.verdict.proven] == []


# --- Seeded faults ----------------------------------------------------------------------------------------------------

# Faults that refute no property: they change nothing, or take away what no property can know to be needed, or are only
# seen as a change.
UNREFUTED = {
    r".* (aws:PrincipalType|aws:PrincipalArn|sts:RoleSessionName|aws:SecureTransport|aws:userid|aws:SourceVpce) with"
    r" (\w+IfExists|ForAllValues:\w+)": "the key is present in every such request",
    r"[\w.]+ trust: \w+: StringEquals aws:PrincipalType with its first half and \*": "no other type begins so",
    r"\w+ resource: Deny\w+: principal narrowed to the own account": "nothing allows the other accounts anyway",
    r"\w+ resource: .*(: every resource| with \* at the end| widened to \*)": "a policy is about its resource only",
    r"(\w+) resource: \w+: without .*:(?!\1)\w+": "the same",
    r"[\w.]+ trust: (AssumeForUsers|Pass\w+): ArnLike aws:PrincipalArn with one value less": "that of roles",
    r"\w+ identity: \w+: (left out|effect turned round|one action less)": "it is not known what the code needs",
    r"\w+ identity: \w+: table/\w+/index/\w+ (with|widened) .*": "an index of the function's own table",
    r"\w+ trust: \w+: (left out|effect turned round|one action less|principal apigateway|ArnLike .* with Null true)": (
        "tags are not always sent"
    ),
    r"\w+ (trust|resource): \w+: principal account added": "only a service has aws:SourceAccount and aws:SourceArn",
    r"[\w.]+ trust: \w+: ArnNotLike aws:PrincipalArn .*": "the other parameters let no one of Identity Center in",
}


class Recording(dict[str, Any]):
    """Documents that know which of them were looked at."""

    def __init__(self, documents: Mapping[str, Any]) -> None:
        super().__init__(documents)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)


def reads(prop: Property, model: Model) -> set[str]:
    """Return the names of the policies on which a property depends."""
    documents = Recording(model.documents)
    recording = replace(model, documents=documents)
    for kind in Kind:
        list(prop.claims(recording, kind))
    list(prop.violations(recording))
    return documents.read


def refuted(prop: Property, model: Model) -> str:
    """Return what refutes a property, as `prove` finds it; empty if nothing does."""
    claims = (claim for kind in Kind for claim in prop.claims(model, kind))
    return next(filter(None, chain(prop.violations(model), map(refutation, claims))), "")


@dataclass
class Trial:
    """What came of seeded faults."""

    alive: set[str] = field(default_factory=set)
    refuted: dict[str, str] = field(default_factory=dict)  # counterexamples
    refuting: Counter[tuple[str, str]] = field(default_factory=Counter)  # by document and property

    def of(self, model: Model, about: str = "") -> Self:
        """Seed the faults of a model that are not refuted yet, those with a text in their names."""
        read = [(prop, reads(prop, model)) for prop in properties_of(model)]
        readers = {name: [prop for prop, names in read if name in names] for name in model.documents}
        for fault in faults(model):
            if fault.name in self.refuted or about not in fault.name:
                continue

            # First what most faults of the document have refuted.
            def order(prop: Property, document: str = fault.document) -> int:
                return -self.refuting[document, prop.sentence]

            for prop in sorted(readers[fault.document], key=order):
                if counterexample := refuted(prop, fault.model):
                    self.refuting[fault.document, prop.sentence] += 1
                    self.refuted[fault.name] = counterexample
                    break
            else:
                self.alive.add(fault.name)
        self.alive -= set(self.refuted)
        return self

    @property
    def unexplained(self) -> list[str]:
        """The faults that should refute a property."""
        return sorted(name for name in self.alive if not any(re.fullmatch(rule, name) for rule in UNREFUTED))


@pytest.mark.slow
@pytest.mark.parametrize("api", ["orders", "second"])
def test_every_seeded_fault_refutes_a_property(api: str, second: Path) -> None:
    models = [VARIANTS["narrowed"], VARIANTS["defaults"]] if api == "orders" else [variants(second)["defaults"]]
    trial = Trial()
    for model in models:
        # What both APIs have in common is tried with the first one.
        trial.of(model, "" if api == "orders" else f"{model.executor.name} identity: ")
    assert trial.unexplained == []
    if api == "orders":
        unused = {rule for rule in UNREFUTED if not any(re.fullmatch(rule, name) for name in trial.alive)}
        assert {rule for rule in unused if "table" not in rule} == set(), "not every API has indexes"
        # Those of the template's structure have faults of their own below; wrong guards, which are an output and no
        # document, are refuted in test_access_template.
        known = {sentence for _, sentence in trial.refuting}
        for prop in ALL:
            if prop.claims is not Property("").claims and prop.sentence not in known and "Guard" not in prop.sentence:
                read = reads(prop, models[0])
                concerned = (fault for model in models for fault in faults(model) if fault.document in read)
                assert any(refuted(prop, fault.model) for fault in concerned), prop.sentence
    for counterexample in trial.refuted.values():
        assert re.match(r"allowed, but not intended: |intended, but not allowed: |the statement ", counterexample) or (
            counterexample.endswith("is no route of the API")
        )


def change_a(folder: Path, change: Any) -> Model:
    """Make the model of a project whose account A template is changed."""
    path = folder / "template-account-a.yaml"
    template = yaml.safe_load(path.read_text())
    change(template["Resources"])
    path.write_text(json.dumps(template))
    return load(folder)


def copied(project: Path, folder: Path) -> Path:
    for path in ("template-account-a.yaml", "template-account-b.yaml", str(CONTRACT)):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text((project / path).read_text())
    return folder


type Change = Callable[[dict[str, Any]], None]


def changed(name: str, **properties: Any) -> Change:
    def change(resources: dict[str, Any]) -> None:
        resources[name]["Properties"] |= properties

    return change


def added(kind: str, **properties: Any) -> Change:
    def change(resources: dict[str, Any]) -> None:
        resources["Extra"] = {"Type": kind, "Properties": properties}

    return change


def route(path: str, **more: Any) -> Change:
    """An event like the first one, for another path."""

    def change(resources: dict[str, Any]) -> None:
        events = resources["TeaFunction"]["Properties"]["Events"]
        properties = {**events["Event0"]["Properties"], "Path": path, **more}
        events["Event0" if more else "More"] = {**events["Event0"], "Properties": properties}

    return change


def grant(path: str) -> Change:
    def change(resources: dict[str, Any]) -> None:
        (statement,) = resources["ExecutorPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        statement["Resource"].append({"Fn::Sub": re.sub("/GET/.*", path, statement["Resource"][0]["Fn::Sub"])})

    return change


def foreign_table(resources: dict[str, Any]) -> None:
    added("AWS::DynamoDB::Table", BillingMode="PAY_PER_REQUEST")(resources)
    statements = resources["TeaFunctionRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    arn = {"Fn::GetAtt": ["Extra", "Arn"]}
    statements.append({"Sid": "Other", "Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": arn})


METHOD = added(
    "AWS::ApiGateway::Method",
    RestApiId={"Ref": "TeaApi"},
    ResourceId={"Fn::GetAtt": ["TeaApi", "RootResourceId"]},
    HttpMethod="GET",
    AuthorizationType="NONE",
)
READ = {"Sid": "Read", "Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "*"}
POLICY = added("AWS::IAM::Policy", PolicyName="extra", Users=["intern"], PolicyDocument={"Statement": [READ]})
ADMINISTRATOR = added("AWS::IAM::User", ManagedPolicyArns=["arn:aws:iam::aws:policy/AdministratorAccess"])


@pytest.mark.parametrize(
    ("change", "counterexample"),
    [
        (METHOD, "GET / has the authorizer NONE"),
        (POLICY, "user named intern has a policy: Read"),
        (ADMINISTRATOR, "Extra has a policy"),
        (route("/teas", Auth={"Authorizer": "NONE"}), "GET /teas has the authorizer NONE"),
        (changed("TeaApi", Auth={"DefaultAuthorizer": "NONE"}), "has the authorizer NONE"),
        (
            added("AWS::ApiGatewayV2::Api", Name="back", ProtocolType="HTTP"),
            r"Extra \(AWS::ApiGatewayV2::Api\) is another way in",
        ),
        (route("/secret"), "GET /secret is not in the contract"),
        (grant("/POST/teas"), "allowed, but not intended: .*/POST/teas"),
        (grant("/*"), "allowed, but not intended: "),
        (grant("/GET/coffee"), "/GET/coffee is no route of the API"),
        (foreign_table, "allowed, but not intended: .*dynamodb:getitem.*Extra"),
    ],
)
def test_a_fault_in_the_template_of_another_api_is_found(
    change: Change, counterexample: str, second: Path, tmp_path: Path
) -> None:
    model = change_a(copied(second, tmp_path), change)
    assert any(re.search(counterexample, refuted(prop, model)) for prop in PROPERTIES)


def test_a_wildcard_that_covers_a_route_that_is_not_granted_is_found(second: Path, tmp_path: Path) -> None:
    """`GET/teas/*` is right for `GET /teas/{tea_id}` and too much for what is below it."""
    folder = copied(second, tmp_path)
    contract = yaml.safe_load((folder / CONTRACT).read_text())
    contract["paths"]["/teas/{tea_id}/recipe"] = {
        "get": {"x-granted": False, "responses": {"200": {}}},
        "parameters": [{"$ref": "#/components/parameters/Tea"}],
    }
    (folder / CONTRACT).write_text(json.dumps(contract))

    model = change_a(folder, route("/teas/{tea_id}/recipe"))
    counterexample = r"allowed, but not intended: .*/GET/teas/[^/]+/recipe"
    assert any(re.search(counterexample, refuted(prop, model)) for prop in PROPERTIES)
