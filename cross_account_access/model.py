"""What the templates deploy: the API's routes and who may call them, roles, functions, and every policy document.

Resources are found by type and reference, so that the model of another API in these templates is made the same way. The
outputs `ApiId` and `ExecutorRoleArn` of account A's template say which API and which role are meant.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from cross_account_access import contract
from cross_account_access.contract import Example
from cross_account_access.documents import Document, listed
from cross_account_access.engine import patterns
from cross_account_access.engine.transform import pairs, references
from cross_account_access.rights import ASSUMED_BY, PUBLISHERS
from cross_account_access.stack import (
    ModelError,
    Stack,
    from_template,
    named_by_output,
    of_type,
    routes_of_template,
)
from cross_account_access.templates import ACCOUNTS, FILES, PROJECT, REGION, Side

_ROLE_KEYS = {"Role", "RoleArn", "CloudWatchRoleArn"}


@dataclass(frozen=True)
class Intent:
    """What the parameters of an executor role ask for; the properties are stated in these terms."""

    consumers: tuple[str, ...]  # ids of the accounts that may call; empty for those of an organization
    suspended: tuple[str, ...]  # ids of those that may not, for now
    external_ids: tuple[str, ...]
    session_names: tuple[str, ...]  # patterns
    caller_arns: tuple[str, ...]  # patterns of the principals that may assume the role
    mfa: bool  # whether IAM users need it
    identity_center: bool  # whether its users may assume the role
    more_role_ids: tuple[str, ...]  # unique ids of other roles that the API admits
    endpoints: tuple[str, ...] = ()  # ids of the VPC endpoints of a private API; empty for one on the internet
    organization: str = ""  # id; empty for none
    organization_paths: tuple[str, ...] = ()  # empty for the whole organization

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Self:
        """Read it from a stack's parameters."""
        suspended = tuple(filter(None, parameters.get("SuspendedConsumerIds", [])))
        external_ids = (parameters["ExternalId"], parameters.get("PreviousExternalId", ""))
        return cls(
            consumers=tuple(filter(None, parameters["ConsumerAccountIds"])),
            suspended=suspended,
            external_ids=tuple(filter(None, external_ids)),
            session_names=tuple(parameters["ConsumerSessionName"]),
            caller_arns=tuple(parameters["CallerPrincipalArns"]),
            mfa=parameters["RequireMfaForUsers"] == "true",
            identity_center=parameters.get("AllowIdentityCenterUsers", "true") == "true",
            more_role_ids=tuple(filter(None, parameters.get("MoreExecutorRoleIds", []))),
            endpoints=tuple(filter(None, parameters.get("VpcEndpointIds", []))),
            organization=parameters.get("ConsumerOrganizationId", ""),
            organization_paths=tuple(filter(None, parameters.get("ConsumerOrganizationPaths", []))),
        )

    @property
    def admitted(self) -> tuple[str, ...]:
        """Ids of the accounts that may call now."""
        return tuple(account for account in self.consumers if account not in self.suspended)


@dataclass(frozen=True)
class Route:
    """A route of the API."""

    method: str  # `ANY` for all
    path: str  # with parameters, such as `/orders/{order_id}`
    authorizer: str  # `AWS_IAM`, `NONE`, or the name of another authorizer
    function: str  # empty for none
    granted: bool  # by the executor's own policy
    promised: bool | None  # by the contract; None if it is not in the contract
    example: Example = field(hash=False)
    status: int = 200  # documented status of success
    statuses: frozenset[int] = frozenset()  # all documented ones

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Use:
    """A resource that another one refers to."""

    type: str  # of CloudFormation
    arn: str  # of network interfaces: of the functions whose code may not use them, unlike Lambda itself
    event_source: bool = False  # whether it is read as one


@dataclass(frozen=True)
class Role:
    """A role of a stack."""

    name: str  # in the model
    side: Side
    arn: str
    role_id: str
    services: frozenset[str]  # that assume it for the resources that name it
    uses: frozenset[Use]  # what those resources refer to


@dataclass(frozen=True)
class Model:
    """All stacks: account A's, account B's, and possibly one of template-access.yaml."""

    folder: Path  # the project's
    stacks: Mapping[Side, Stack]
    # A name that several stacks use is qualified, as in `B.AlarmTopic resource`.
    documents: Mapping[str, Document] = field(repr=False)

    def with_document(self, name: str, document: Document) -> Self:
        """Return the same model with another document."""
        return replace(self, documents={**self.documents, name: document})

    def __getitem__(self, document: str) -> Document:
        return self.documents[document]

    def accounts(self) -> tuple[str, str]:
        """Return the ids of accounts A and B."""
        return self.stacks["a"].account, self.stacks["b"].account

    @cached_property
    def intent(self) -> Intent:
        """What account A's parameters ask for."""
        return Intent.of(self.stacks["a"].parameters)

    @cached_property
    def api(self) -> str:
        """Name of the API."""
        return named_by_output(self.stacks["a"], "ApiId", "AWS::ApiGateway::RestApi")

    @cached_property
    def stage(self) -> str:
        """The API's stage."""
        stages = [item["Properties"] for item in of_type(self.stacks["a"].resources, "AWS::ApiGateway::Stage").values()]
        names = [stage["StageName"] for stage in stages if stage["RestApiId"] == self.api]
        if len(names) != 1:
            raise ModelError(f"{self.api} has {len(names)} stages instead of one: {', '.join(names)}")
        return str(names[0])

    @property
    def api_arn(self) -> str:
        """ARN of the API, without stage and method."""
        stack = self.stacks["a"]
        return f"arn:aws:execute-api:{stack.region}:{stack.account}:{stack.physical[self.api]}"

    @cached_property
    def executor(self) -> Role:
        """The role that consumers assume."""
        name = named_by_output(self.stacks["a"], "ExecutorRoleArn", "AWS::IAM::Role")
        return next(role for role in self.roles if role.side == "a" and role.name == self.name("a", name))

    @cached_property
    def access_role(self) -> Role | None:
        """The role of the access stack, if there is one."""
        if "access" not in self.stacks:
            return None
        name = named_by_output(self.stacks["access"], "ExecutorRoleArn", "AWS::IAM::Role")
        return next(role for role in self.roles if role.name == self.name("access", name))

    @cached_property
    def roles(self) -> tuple[Role, ...]:
        """The roles of all stacks."""
        return tuple(role for side in self.stacks for role in self._roles(side))

    @cached_property
    def way_in(self) -> tuple[Use, ...]:
        """What account B's principals use to call the API: the role that they assume, or the methods themselves."""
        given = self.stacks["b"].parameters
        if given["ExecutorRoleArn"]:
            return (Use("AWS::IAM::Role", given["ExecutorRoleArn"]),)
        return tuple(Use("AWS::ApiGateway::Method", arn) for arn in given.get("GrantedMethodArns", []) if arn)

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """The API's routes, in the order of the contract."""
        stack = self.stacks["a"]
        operations = contract.read(self.folder)
        order = {key: place for place, key in enumerate(operations)}
        found = (
            stack.routes
            if stack.routes is not None
            else tuple(routes_of_template(stack.resources[self.api], stack.resources))
        )
        routes = []
        for method, path, authorizer, function in found:
            operation = operations.get((method, path))
            example = operation.example if operation else contract.without_contract(path)
            arn = f"{self.api_arn}/{self.stage}/{method}{quote(example.path)}"
            routes.append(
                Route(
                    method=method,
                    path=path,
                    authorizer=authorizer,
                    function=function,
                    granted=_granted(self[f"{self.executor.name} identity"], arn),
                    promised=operation.granted if operation else None,
                    example=example,
                    status=operation.status if operation else 200,
                    statuses=operation.statuses if operation else frozenset(),
                )
            )
        return tuple(sorted(routes, key=lambda route: order.get((route.method, route.path), len(order))))

    def name(self, side: Side, logical_id: str) -> str:
        """Return a resource's name in the model."""
        if side == "access":
            return f"access.{logical_id}"
        other = self.stacks["b" if side == "a" else "a"].resources
        return f"{side.upper()}.{logical_id}" if logical_id in other else logical_id

    def named(self, kind: str) -> Iterator[tuple[str, Side, str]]:
        """Iterate over the resources of a type: name in the model, account, ARN."""
        for side, stack in self.stacks.items():
            for logical_id in of_type(stack.resources, kind):
                yield self.name(side, logical_id), side, stack.physical[f"{logical_id}.Arn"]

    def publishers(self, topic: str) -> set[str]:
        """Return the services that publish to a topic, by its ARN: CloudWatch, if an alarm refers to it."""
        found = set()
        for stack in self.stacks.values():
            template = stack.template.resources
            for kind, service in PUBLISHERS.items():
                for name in of_type(stack.resources, kind):
                    used = references(template[name]["Properties"])
                    if topic in {stack.physical.get(f"{logical_id}.Arn") for logical_id in used}:
                        found.add(service)
        return found

    def arn(self, name: str) -> str:
        """Return the ARN of a resource by its name in the model; empty if there is none."""
        for side, stack in self.stacks.items():
            for logical_id in stack.resources:
                if self.name(side, logical_id) == name:
                    return stack.physical.get(f"{logical_id}.Arn", "")
        return ""

    def _roles(self, side: Side) -> Iterator[Role]:
        stack = self.stacks[side]
        template = stack.template.resources
        roles = {name: (set[str](), set[Use]()) for name in of_type(stack.resources, "AWS::IAM::Role")}
        for user, resource in stack.resources.items():
            if resource["Type"] not in ASSUMED_BY:
                continue
            properties = template[user]["Properties"]
            for reference in references([value for key, value in pairs(properties) if key in _ROLE_KEYS]):
                services, uses = roles.get(reference, (set(), set()))
                services.add(ASSUMED_BY[resource["Type"]])
                uses.update(self._uses(stack, user, properties, template))
        for logical_id, (services, uses) in roles.items():
            yield Role(
                name=self.name(side, logical_id),
                side=side,
                arn=stack.physical[f"{logical_id}.Arn"],
                role_id=stack.physical[f"{logical_id}.RoleId"],
                services=frozenset(services),
                uses=frozenset(uses),
            )

    def _uses(self, stack: Stack, user: str, properties: Any, template: Mapping[str, Any]) -> Iterator[Use]:
        for used in references(properties):
            if used in stack.resources:
                kind = stack.resources[used]["Type"]
                if f"{used}.Arn" in stack.physical and kind != "AWS::IAM::Role":
                    yield Use(kind, stack.physical[f"{used}.Arn"])
            elif used == "ApiUrl":
                yield from self.way_in
        if properties.get("TracingConfig", {}).get("Mode") == "Active":
            yield Use("AWS::XRay", "*")
        if "VpcConfig" in stack.resources[user].get("Properties", {}):
            yield Use("AWS::EC2::NetworkInterface", f"arn:aws:lambda:{stack.region}:{stack.account}:function:*")
        for source in of_type(stack.resources, "AWS::Lambda::EventSourceMapping"):
            mapping = template[source]["Properties"]
            if user in references(mapping["FunctionName"]):
                for used in references(mapping["EventSourceArn"]):
                    yield Use(stack.resources[used]["Type"], stack.physical[f"{used}.Arn"], event_source=True)


def load(
    template_dir: Path = PROJECT,
    *,
    a: Mapping[str, Any] | None = None,
    b: Mapping[str, Any] | None = None,
    access: Mapping[str, Any] | None = None,
    accounts: Mapping[Side, str] | None = None,
    region: str = REGION,
) -> Model:
    """Make the model of the templates; account ids are made up unless given, and physical names always.

    `a`, `b` and `access` are the parameters that differ from the defaults and from what is required. Account B's
    default to the outputs of account A's stack. Without `access`, the model has no access stack.

    Raises:
        ModelError: Account A's template has no API with an executor role.
        UnknownPolicyError: A template has a kind of policy that is not known here.
    """
    ids = accounts or {"a": ACCOUNTS["a"], "b": ACCOUNTS["b"]}
    provider = from_template("a", template_dir, ids["a"], region, a or {})
    consumer = from_template("b", template_dir, ids["b"], region, handed_over(provider) | dict(b or {}))
    others = []
    if access is not None and (template_dir / FILES["access"]).exists():
        others.append(from_template("access", template_dir, ids["a"], region, access))
    return assemble(template_dir, provider, consumer, *others)


def assemble(template_dir: Path, *stacks: Stack) -> Model:
    """Make a model of account A's stack, account B's, and others."""
    model = Model(template_dir, {stack.side: stack for stack in stacks}, {})
    found = {
        f"{model.name(side, key.rpartition(' ')[0])} {key.rpartition(' ')[2]}": document
        for side, stack in model.stacks.items()
        for key, document in stack.documents.items()
    }
    return replace(model, documents=dict(sorted(found.items())))


def handed_over(provider: Stack) -> dict[str, Any]:
    """Return the parameters of account B's template that are outputs of account A's stack."""
    api = provider.physical[named_by_output(provider, "ApiId", "AWS::ApiGateway::RestApi")]
    role = named_by_output(provider, "ExecutorRoleArn", "AWS::IAM::Role")
    stage = provider.parameters.get("StageName", "v1")
    return {
        "ApiUrl": f"https://{api}.execute-api.{provider.region}.amazonaws.com/{stage}",
        "ExecutorRoleArn": provider.physical[f"{role}.Arn"],
        "ExternalId": provider.parameters["ExternalId"],
    }


def _granted(policy: Document, arn: str) -> bool:
    """Return whether statements without conditions allow calling a method."""
    applying = {
        statement["Effect"]
        for statement in policy["Statement"]
        if _matches(statement.get("Action", []), "execute-api:invoke", str.lower)
        and _matches(statement.get("Resource", []), arn, str)
    }
    return applying == {"Allow"}


def _matches(globs: Any, text: str, normal: Callable[[str], str]) -> bool:
    return any(patterns.matches(text, patterns.glob(normal(value))) for value in listed(globs))
