"""Properties of template-deploy-role.yaml: who may deploy, and how far a deployment reaches.

IAM knows a stack's resources by their names only: what is said of them is said of every resource whose name begins with
StackName and a hyphen.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cross_account_access.documents import UnknownPolicyError, of_template
from cross_account_access.engine import data
from cross_account_access.engine.evaluator import allowed, identity_allows
from cross_account_access.engine.fields import FALSE, TRUE, all_of, any_of, no
from cross_account_access.engine.intrinsics import Template
from cross_account_access.engine.request import Key, Kind, Request
from cross_account_access.engine.sources import load
from cross_account_access.model import Model
from cross_account_access.proof import Claim, Property, refutation
from cross_account_access.templates import ACCOUNTS, REGION

type Statement = dict[str, Any]

FILE = "template-deploy-role.yaml"
_PROVIDER = "oidc-provider/token.actions.githubusercontent.com"
# Lists of what deployments need. `named` are the resources whose names begin with the stack's: the rest of their ARNs;
# `wider` is what reaches further than the stack, because AWS offers no narrower way: actions, resources; `data` uses
# the stack's resources rather than deploys them. The boundary is for `uses`, `writes` and `interfaces`, and for `… at
# least`. In `settings`, the deployments that are proven, one subject is in both lists, which no rule can exclude.
_LISTS = data.read(__file__, "deploy_role.json")
SETTINGS: dict[str, dict[str, Any]] = _LISTS["settings"]
_KINDS = {
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::OIDCProvider",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
}
_POLICIES = {f"{role} {kind}" for role in ("DeployRole", "SmokeTestRole") for kind in ("trust", "identity")} | {
    "Boundary identity",
    "PackagesBucket resource",
}


@dataclass(frozen=True)
class Setting:
    """The template, deployed with some parameters; statements by `Role trust`, `Role identity` and so on."""

    values: Mapping[str, Any]  # of parameters and references
    policies: Mapping[str, list[Statement]]
    others: tuple[str, ...]  # what could grant something and is not among them, in words

    def arns(self, *suffixes: str) -> list[str]:
        """Return the ARNs of `suffixes`, in which region and account are filled in."""
        return [f"arn:aws:{self.fill(suffix)}" for suffix in suffixes]

    def fill(self, text: str) -> str:
        """Fill in region and account."""
        return text.format(region=self.values["AWS::Region"], account=self.values["AWS::AccountId"])

    def listed(self, parameter: str) -> list[str]:
        """Return the values of a parameter that is a list, none if it is empty."""
        return [value for value in self.values[parameter] if value]

    @property
    def named(self) -> list[str]:
        """The stack's own resources whose ARN holds their name."""
        return self.arns(*(f"{resource}{self.values['StackName']}-*" for resource in _LISTS["named"]))

    @property
    def roles(self) -> str:
        """The stack's own roles."""
        path, name = self.values["RolePath"], self.values["StackName"]
        return self.arns(f"iam::{{account}}:role{path}{name}-*")[0]


def is_in(folder: Path) -> bool:
    """Return whether a folder has the template."""
    return (folder / FILE).exists()


def setting(template: Mapping[str, Any], **given: Any) -> Setting:
    """Resolve the template; its own resources get the names that reach furthest into those of the stack."""
    values: dict[str, Any] = {"AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": ACCOUNTS["a"]}
    for name, parameter in template["Parameters"].items():
        default = parameter.get("Default")
        values[name] = [default] if parameter["Type"] == "CommaDelimitedList" else default
    values |= given
    own = f"{values['StackName']}-deploy"  # the name of its stack, which may begin with that of the deployed one
    values |= {
        "DeployRole.Arn": f"arn:aws:iam::{values['AWS::AccountId']}:role/{own}-DeployRole-1A2B3C",
        "SmokeTestRole.Arn": f"arn:aws:iam::{values['AWS::AccountId']}:role/{own}-SmokeTestRole-1A2B3C",
        "Boundary": f"arn:aws:iam::{values['AWS::AccountId']}:policy/{own}-Boundary-1A2B3C",
        "OidcProvider": f"arn:aws:iam::{values['AWS::AccountId']}:{_PROVIDER}",
        "PackagesBucket.Arn": f"arn:aws:s3:::{own}-packagesbucket-1a2b3c",
    }
    for name in template["Resources"]:
        values.setdefault(f"{name}.Arn", f"arn:aws:iam::{values['AWS::AccountId']}:role/{name}")
    own_names = {name: str(value) for name, value in values.items() if name.partition(".")[0] in template["Resources"]}
    known = Template(template, values, values["AWS::AccountId"], REGION, physical=own_names)
    policies: dict[str, list[Statement]] = {}
    others: list[str] = []
    for name, resource in known.resources.items():
        if resource["Type"] not in _KINDS:
            others.append(f"{name} ({resource['Type']}) is not known here")
        if "ManagedPolicyArns" in resource.get("Properties", {}):
            others.append(f"{name} has managed policies")
    try:
        policies = {name: found["Statement"] for name, found in of_template(known)[0].items()}
    except UnknownPolicyError as error:
        others.append(str(error))
    others += [f"a policy for {name}" for name in sorted(policies.keys() - _POLICIES)]
    return Setting(values, policies, tuple(others))


# --- Who may become them ----------------------------------------------------------------------------------------------


def _is(key: Key, values: list[str]) -> Any:
    return all_of(key.present, any_of(*map(key.like, values)))


def trust_claims(deployed: Setting) -> Iterator[Claim]:
    """Claim that only the tokens of a role's own subjects, and all of them, may assume it."""
    testers = deployed.listed("SmokeTestSubjects")
    for role, subjects, refused in (
        ("DeployRole", deployed.listed("Subjects"), testers),
        ("SmokeTestRole", testers, []),
    ):
        # AssumeRoleWithWebIdentity is not signed; the keys come from the token.
        for kind in Kind if f"{role} trust" in deployed.policies else ():
            request, account = Request(kind, {}), str(deployed.values["AWS::AccountId"])
            audience = request.key("token.actions.githubusercontent.com:aud")
            subject = request.key("token.actions.githubusercontent.com:sub")
            may = all_of(
                request.is_from(deployed.values["OidcProviderArn"] or deployed.values["OidcProvider"]),
                request.action.like("sts:assumerolewithwebidentity"),
                _is(audience, ["sts.amazonaws.com"]),
                _is(subject, subjects),
                no(_is(subject, refused)),
            )
            trusted = allowed(request, deployed.policies[f"{role} trust"], owner=account, trust=True)
            yield Claim(request, TRUE, trusted, may, may)


# --- How far a deployment reaches -------------------------------------------------------------------------------------


def _identity(
    deployed: Setting, role: str, intended: Callable[[Request], Any], domain: Callable[[Request], Any] = lambda _: TRUE
) -> Iterator[Claim]:
    """Claim for each statement, with the denials, that it allows only what is intended; together they allow no more."""
    statements = deployed.policies.get(f"{role} identity", [])
    denials = [statement for statement in statements if statement["Effect"] == "Deny"]
    arn = deployed.values[f"{role}.Arn"]
    for statement in (statement for statement in statements if statement["Effect"] == "Allow"):
        request = Request(Kind.ROLE, {arn: "AROADEPLOYROLE0000001"})
        decision = identity_allows(request, [statement, *denials])
        about = all_of(request.is_session_of(arn), domain(request))
        yield Claim(request, about, decision, intended(request), FALSE)


def _does(request: Request, actions: Iterable[str], *resources: str) -> Any:
    return all_of(request.action.like(*map(str.lower, actions)), request.resource.like(*resources))


def reach_claims(deployed: Setting) -> Iterator[Claim]:
    """Claim that the deploy role uses nothing but the stack and its packages, and what AWS cannot narrow."""
    name = deployed.values["StackName"]
    (stack, transform, *apis) = deployed.arns(
        f"cloudformation:{{region}}:{{account}}:stack/{name}/*",
        "cloudformation:{region}:aws:transform/Serverless-2016-10-31",
        *(f"apigateway:{{region}}::/{kind}" for kind in ("apikeys", "domainnames", "restapis", "usageplans")),
    )
    networks = [(_LISTS["networks"], "*")] if deployed.values["FunctionInVpc"] == "true" else []
    wider = [*_LISTS["wider"], *networks]
    bucket = deployed.values["PackagesBucket.Arn"]

    def intended(request: Request) -> Any:
        imports = all_of(
            request.action.like("cloudformation:createchangeset"),
            request.key("cloudformation:ImportResourceTypes").present,
        )
        function, tag = request.key("lambda:FunctionArn"), request.key("aws:ResourceTag/aws:cloudformation:stack-name")
        return any_of(
            all_of(request.resource.like(*deployed.named), no(_does(request, _LISTS["data"], "*"))),
            all_of(_does(request, ("cloudformation:*",), stack), no(imports)),
            all_of(_does(request, ("cloudformation:CreateChangeSet",), transform), no(imports)),
            _does(request, _LISTS["makes APIs"], *apis),
            all_of(_does(request, ("apigateway:*",), *(f"{api}/*" for api in apis)), _is(tag, [name])),
            _does(request, _LISTS["packages"], f"{bucket}/*"),
            _does(request, ("s3:ListBucket",), bucket),
            all_of(
                request.action.like("lambda:*eventsourcemapping"),
                function.present,
                function.arn_like(deployed.arns(f"lambda:{{region}}:{{account}}:function:{name}-*")[0]),
            ),
            *(_does(request, actions, deployed.fill(resource)) for actions, resource in wider),
            # The next property is about them.
            _does(request, ("iam:*",), deployed.roles),
        )

    return _identity(deployed, "DeployRole", intended)


def rights_claims(deployed: Setting) -> Iterator[Claim]:
    """Claim that the deploy role gives nobody rights, and itself none, but the stack's roles within the boundary."""

    def intended(request: Request) -> Any:
        boundary, service = request.key("iam:PermissionsBoundary"), request.key("iam:PassedToService")
        own = all_of(
            request.resource.like(deployed.roles),
            no(request.resource.like(deployed.values["DeployRole.Arn"], deployed.values["SmokeTestRole.Arn"])),
        )
        within = all_of(
            request.action.like(*map(str.lower, _LISTS["in boundary"])), _is(boundary, [deployed.values["Boundary"]])
        )
        passes = all_of(request.action.like("iam:passrole"), _is(service, list(_LISTS["services"])))
        harmless = request.action.like(*map(str.lower, _LISTS["reads roles"]), "iam:tagrole", "iam:untagrole")
        return all_of(own, any_of(within, passes, harmless))

    def grants(request: Request) -> Any:
        return request.action.like("iam:*", "sts:*", "sso:*", "organizations:*")

    return _identity(deployed, "DeployRole", intended, grants)


def boundary_claims(deployed: Setting) -> Iterator[Claim]:
    """Claim that a role of the stack may do what the boundary is for, whatever policies it gets, and nothing else."""
    request = Request(Kind.ROLE, {})
    named = deployed.arns(*(f"{kind}{deployed.values['StackName']}-*" for kind in _LISTS["used"]))
    apis, executor = deployed.listed("ApiArns"), deployed.values["ExecutorRoleArn"]
    calls = any_of(
        _does(request, ("execute-api:Invoke",), *apis) if apis else FALSE,
        _does(request, ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"), executor) if executor else FALSE,
    )
    network = _does(request, _LISTS["interfaces"], "*") if deployed.values["FunctionInVpc"] == "true" else FALSE
    may = any_of(calls, network, _does(request, _LISTS["writes"], "*"), _does(request, _LISTS["uses"], *named))
    writes, uses = _LISTS["writes at least"], _LISTS["uses at least"]
    must = any_of(calls, network, _does(request, writes, "*"), _does(request, uses, *named))
    yield Claim(request, TRUE, identity_allows(request, deployed.policies.get("Boundary identity", [])), may, must)


def smoke_test_claims(deployed: Setting) -> Iterator[Claim]:
    """Claim that the smoke test's role describes the stack, invokes its functions, assumes the executor; no more."""
    if "SmokeTestRole identity" in deployed.policies:
        arn, name = deployed.values["SmokeTestRole.Arn"], deployed.values["StackName"]
        request = Request(Kind.ROLE, {arn: "AROASMOKETESTROLE0001"})
        stack, functions = deployed.arns(
            f"cloudformation:{{region}}:{{account}}:stack/{name}/*", f"lambda:{{region}}:{{account}}:function:{name}-*"
        )
        may = any_of(
            _does(request, ("cloudformation:DescribeStacks",), stack),
            _does(request, ("lambda:InvokeFunction",), functions),
            _does(request, ("sts:AssumeRole",), deployed.values["ExecutorRoleArn"]),
        )
        decision = identity_allows(request, deployed.policies["SmokeTestRole identity"])
        yield Claim(request, request.is_session_of(arn), decision, may, may)


@cache
def _settings(text: str) -> list[Setting]:
    template = load(text, FILE).template
    return [setting(template, **values) for values in SETTINGS.values()]


def _property(
    sentence: str,
    claims: Callable[[Setting], Iterator[Claim]],
) -> Property:
    @cache
    def refutations(text: str) -> tuple[str, ...]:
        settings = _settings(text)
        words = [found for deployed in settings for found in deployed.others]
        return (*words, *(found for deployed in settings for claim in claims(deployed) if (found := refutation(claim))))

    # The same for each model, which differ in other templates' parameters.
    def violations(model: Model) -> Iterator[str]:
        yield from refutations((model.folder / FILE).read_text())

    return Property(sentence, violations=violations)


PROPERTIES = (
    _property(
        "Deploy role: only GitHub's tokens of the environments in Subjects can assume it, and none of those that run"
        " the smoke test, whose role they alone can assume",
        trust_claims,
    ),
    _property(
        "Deploy role: it changes and reads nothing but its stack, without the data, and its packages, except for new"
        " APIs, keys, plans and domain names, tags, saved queries and subscriptions, which AWS cannot narrow to a"
        " stack, and reading other APIs and, for FunctionInVpc, networks",
        reach_claims,
    ),
    _property(
        "Deploy role: it gains nothing by changing itself, the boundary or a policy of others, since of IAM it changes"
        " only roles of its stack, within the boundary",
        rights_claims,
    ),
    _property(
        "Deploy role: whatever a deployment grants them, the stack's roles write logs and traces, use the stack's own"
        " resources, call ApiArns, assume ExecutorRoleArn and, for FunctionInVpc, manage network interfaces, and do"
        " nothing else",
        boundary_claims,
    ),
    _property(
        "Deploy role: the smoke test's role describes the stack, invokes its functions and assumes the executor role,"
        " and does nothing else",
        smoke_test_claims,
    ),
)
