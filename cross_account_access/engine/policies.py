"""What a template says about access: every policy by whom or what it governs, and the facts that no policy holds."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cross_account_access.engine import types
from cross_account_access.engine.intrinsics import (
    ALWAYS,
    NEVER,
    NOTHING,
    RESOURCES,
    Choice,
    Guard,
    Opaque,
    Template,
    Term,
    alternatives,
    both,
    cases,
    items,
    literal_name,
    mapped,
    plain,
)
from cross_account_access.engine.languages import text_of
from cross_account_access.engine.request import Kind

type Entry = tuple[Guard, Mapping[str, Any], str]
"""A statement: when it is there, its elements, and its name `document: Sid`."""

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
# By type: the word for it, with which policies name theirs as `Roles` or `RoleName`; its requests; in words.
_HOLDERS = {
    "AWS::IAM::Role": ("Role", Kind.ROLE, "sessions of {}"),
    "AWS::IAM::User": ("User", Kind.USER, "the user {}"),
    "AWS::IAM::Group": ("Group", Kind.USER, "members of the group {}"),
}
_ATTACHED = {
    *("AWS::IAM::GroupPolicy", "AWS::IAM::ManagedPolicy", "AWS::IAM::Policy"),
    *("AWS::IAM::RolePolicy", "AWS::IAM::UserPolicy"),
}
# By property of a permission: the operator and key of the condition that it makes.
_CONDITIONS = {
    "SourceArn": ("ArnLike", "AWS:SourceArn"),
    "SourceAccount": ("StringEquals", "AWS:SourceAccount"),
    "PrincipalOrgID": ("StringEquals", "aws:PrincipalOrgID"),
    "OrganizationId": ("StringEquals", "aws:PrincipalOrgID"),
    "FunctionUrlAuthType": ("StringEquals", "lambda:FunctionUrlAuthType"),
    "EventSourceToken": ("StringEquals", "lambda:EventSourceToken"),
    "InvokedViaFunctionUrl": ("Bool", "lambda:InvokedViaFunctionUrl"),
}
_METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "trace", "x-amazon-apigateway-any-method")
_KEY = "an API key"  # pragma: allowlist secret
_AS_CALLER = " as arn:aws:iam::*:user/*"
_APIS = ("AWS::ApiGateway::RestApi", "AWS::ApiGatewayV2::Api")


@dataclass
class Holder:
    """Whoever has a policy of its own: a role, a user, a group, or those to whom a policy is attached by name."""

    who: str
    kind: Kind
    arn: str = ""  # of a role of the template
    statements: list[Entry] = field(default_factory=list)
    managed: list[tuple[Guard, str]] = field(default_factory=list)  # ARNs of policies whose content is elsewhere
    boundaries: list[tuple[Guard, Any]] = field(default_factory=list)  # the limit; the statements of an own policy


@dataclass
class Governed:
    """A resource with a policy."""

    name: str
    service: str
    arn: str = ""  # empty if the template does not know it
    statements: list[Entry] = field(default_factory=list)
    needed: bool = False  # even in the resource's own account
    there: Guard = NEVER  # when there is the resource


@dataclass(frozen=True)
class Fact:
    """Access that no policy states, in words; equal facts of both revisions are no change."""

    who: str
    what: str
    there: Guard
    key: tuple[str, ...]  # facts of one key are about the same
    measure: int = 0  # where more is more access
    implied_by: tuple[str, ...] = ()  # key of a fact that gives more
    needs: str = ""  # logical id without which, in the older revision, the fact is none of its own


class Policies:
    """The policies and facts of one revision of a template."""

    def __init__(self, template: Template, watched: Iterable[str] = (), *, own_api: bool = False) -> None:
        """Read a template; the watched properties (`Type.Property.…`) are facts, too.

        With `own_api`, what the template's own APIs may invoke has statements, although its routes are facts.
        """
        self.template = template
        self._own_api = own_api
        self._watched = watched
        self._owner = {value: key.partition(".")[0] for key, value in template.names.items()}
        for name, resource in template.resources.items():
            # A policy may name a role by the text of its name.
            if resource["Type"] in _HOLDERS and (text := literal_name(resource)):
                self._owner.setdefault(text, name)
        self.holders: dict[str, Holder] = {}
        self.trusts: dict[str, Governed] = {}
        self.governed: dict[str, Governed] = {}
        self.facts: list[Fact] = []
        self.unread: set[tuple[str, str]] = set()  # definitions, by resource, of which nothing is known
        self._named_policies: dict[str, list[Entry]] = {}
        for name, resource in template.resources.items():
            if resource["Type"] == "AWS::IAM::ManagedPolicy":
                properties = template.properties(name)
                self._named_policies[name] = list(self.entries_of(properties.get("PolicyDocument"), ALWAYS, name))
        for name, resource in template.resources.items():
            kind = resource["Type"]
            if types.known(kind) or any(path.startswith(f"{kind}.") for path in self._watched):
                there = template.exists(name)
                if there != NEVER:
                    self._read(name, kind, template.properties(name), there)
        self._members()
        for name, holder in self.holders.items():
            for guard, arn in holder.managed:
                self._fact(holder.who, f"whatever the policy {arn} allows", guard, ("managed", name, arn))

    @property
    def tables(self) -> tuple[Mapping[str, Any], ...]:
        """All that has policies, by name."""
        return self.holders, self.trusts, self.governed, self.template.outputs

    def owner(self, text: Any) -> str:
        """Return the logical id of the resource that a name, ARN or URL belongs to; empty if to none."""
        if not isinstance(text, str):
            return ""
        found = self._owner.get(text, text.partition(".")[0])
        return found if found in self.template.resources else ""

    def _called(self, value: Any) -> str:
        """Return the logical id of the resource that is meant, or else the text."""
        return self.owner(value) or str(plain(value))

    def _read(self, name: str, kind: str, properties: Mapping[str, Any], there: Guard) -> None:
        readers: dict[str, Callable[[str, Mapping[str, Any], Guard], None]] = {
            "AWS::ApiGateway::Method": self._method,
            "AWS::ApiGateway::RestApi": self._api,
            "AWS::ApiGateway::Stage": self._stage,
            "AWS::ApiGatewayV2::Api": self._api,
            "AWS::ApiGatewayV2::Route": self._route_v2,
            "AWS::ApiGatewayV2::Stage": self._stage,
            "AWS::Events::EventBusPolicy": self._bus_policy,
            "AWS::Lambda::LayerVersionPermission": self._layer_permission,
            "AWS::Lambda::Permission": self._permission,
            "AWS::Lambda::Url": self._url,
        }
        if kind in readers:
            readers[kind](name, properties, there)
        elif kind in _HOLDERS:
            self._holder(name, kind, properties, there)
        elif kind in _ATTACHED:
            self._attached(name, kind, properties, there)
        if "policy" in RESOURCES.get(kind, {}):
            self._resource_policy(name, kind, properties, there)
        self._other_facts(name, kind, properties, there)

    def _layer_permission(self, name: str, properties: Mapping[str, Any], there: Guard) -> None:
        governed = self._govern(f"layer version {plain(properties.get('LayerVersionArn'))}", "lambda")
        governed.statements.append((there, _permission(properties), name))

    def _stage(self, name: str, properties: Mapping[str, Any], there: Guard) -> None:
        given = properties.get("RestApiId", properties.get("ApiId"))
        api, stage = self._called(given), str(plain(properties.get("StageName")))
        what = f"call {api} at the stage {stage}"
        self._fact("whoever may call it", what, there, ("stage", api, stage), needs=self.owner(given))

    # --- Who has which policy -----------------------------------------------------------------------------------------

    def _holder(self, name: str, kind: str, properties: Mapping[str, Any], there: Guard) -> None:
        holder = self._holder_of(name, kind)
        for guard, policy in items(properties.get("Policies", [])):
            if not isinstance(policy, Mapping):
                holder.statements.append((both(there, guard), {"unreadable policy": plain(policy)}, name))
            else:
                holder.statements += self.entries_of(
                    policy.get("PolicyDocument"), both(there, guard), f"{name} identity"
                )
        self._manage(holder, properties.get("ManagedPolicyArns", []), there)
        if "PermissionsBoundary" in properties:
            for guard, limit in alternatives(properties["PermissionsBoundary"]):
                own = self._named_policies.get(self.owner(limit))
                holder.boundaries.append((both(there, guard), own if own is not None else limit))
        if kind == "AWS::IAM::Role":
            trust = self.trusts.setdefault(name, Governed(name, "sts", self.template.names[f"{name}.Arn"], needed=True))
            trust.there = there
            trust.statements += self.entries_of(properties.get("AssumeRolePolicyDocument"), there, f"{name} trust")
            for guard, seconds in alternatives(properties.get("MaxSessionDuration", 3600)):
                measured = int(seconds) if str(seconds).isdigit() else 43200
                what = f"sessions that last up to {measured // 60} minutes"
                self._fact(f"whoever may assume {name}", what, both(there, guard), ("duration", name), measure=measured)

    def _holder_of(self, name: str, kind: str) -> Holder:
        _, of, who = _HOLDERS[kind]
        arn = self.template.names[f"{name}.Arn"] if kind == "AWS::IAM::Role" else ""
        return self.holders.setdefault(name, Holder(who.format(name), of, arn))

    def _holder_named(self, name: Any, kind: str) -> Holder:
        own = self.owner(name)
        if own and self.template.resources[own]["Type"] == kind:
            return self._holder_of(own, kind)
        word, of, who = _HOLDERS[kind]
        text = str(plain(name))
        return self.holders.setdefault(f"{word.lower()} named {text}", Holder(who.format(text), of))

    def _manage(self, holder: Holder, arns: Any, there: Guard) -> None:
        for guard, arn in items(arns):
            own = self.owner(arn)
            given = both(there, guard)
            if own in self._named_policies:
                exists = self.template.exists(own)
                holder.statements += _under(both(given, exists), self._named_policies[own])
            elif arn == ADMINISTRATOR:
                everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
                holder.statements.append((given, everything, "AdministratorAccess"))
            else:
                holder.managed.append((given, str(plain(arn))))

    def _attached(self, name: str, kind: str, properties: Mapping[str, Any], there: Guard) -> None:
        entries = self._named_policies.get(name)
        if entries is None:
            entries = list(self.entries_of(properties.get("PolicyDocument"), ALWAYS, name))
        for of, (word, *_) in _HOLDERS.items():
            for guard, who in items([properties.get(key, []) for key in (f"{word}s", f"{word}Name")]):
                self._holder_named(who, of).statements += _under(both(there, guard), entries)
        if kind == "AWS::IAM::ManagedPolicy":
            anyone = self.holders.setdefault(f"policy {name}", Holder(f"whoever has the policy {name}", Kind.ROLE))
            anyone.statements += _under(there, entries)
            for guard, given in alternatives(properties.get("ManagedPolicyName")):
                if isinstance(given, str | Opaque):
                    who = f"permission sets that use the policy {plain(given)}"
                    holder = self.holders.setdefault(f"policy named {plain(given)}", Holder(who, Kind.ROLE))
                    holder.statements += _under(both(there, guard), entries)

    def _members(self) -> None:
        """Give users what their groups have."""
        for name, resource in self.template.resources.items():
            there = self.template.exists(name)
            if resource["Type"] == "AWS::IAM::User" and there != NEVER:
                for guard, group in items(self.template.properties(name).get("Groups", [])):
                    self._join(self._holder_of(name, "AWS::IAM::User"), group, both(there, guard))
            elif resource["Type"] == "AWS::IAM::UserToGroupAddition" and there != NEVER:
                properties = self.template.properties(name)
                for guard, user in items(properties.get("Users", [])):
                    for inner, group in items(properties.get("GroupName")):
                        self._join(self._holder_named(user, "AWS::IAM::User"), group, both(there, guard, inner))

    def _join(self, holder: Holder, group: Any, there: Guard) -> None:
        of = self._holder_named(group, "AWS::IAM::Group")
        holder.statements += _under(both(there), of.statements)
        holder.managed += [(both(there, when), arn) for when, arn in of.managed]
        if not self.owner(group):
            holder.managed.append((there, f"of the group {plain(group)}"))

    # --- Resources' own policies --------------------------------------------------------------------------------------

    def _govern(self, name: str, service: str) -> Governed:
        if name not in self.governed:
            own = name in self.template.resources
            arn = self.template.names.get(f"{name}.Arn", "") if own else ""
            there = self.template.exists(name) if own else ALWAYS
            self.governed[name] = Governed(name, service, arn, needed=service == "kms", there=there)
        return self.governed[name]

    def _resource_policy(self, name: str, kind: str, properties: Mapping[str, Any], there: Guard) -> None:
        """Read a policy that is a resource or a property; it governs what `of` names, or else the resource itself."""
        governing, service = RESOURCES[kind].get("of", ""), RESOURCES[kind]["service"]
        for inner, found in _inside(properties, RESOURCES[kind]["policy"].split(".")):
            value = self._key_policy if found is None and kind == "AWS::KMS::Key" else found
            for guard, of in items(properties.get(governing)) if governing else [(ALWAYS, None)]:
                if value is not None:
                    governed = self._govern(self._called(of) if governing else name, service)
                    governed.statements += self._of_resource(value, both(there, inner, guard), governed)

    @property
    def _key_policy(self) -> Mapping[str, Any]:
        """What a key has that is given none."""
        principal = {"AWS": self.template.account}
        statement = {"Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*"}
        return {"Version": "2012-10-17", "Statement": statement}

    def _of_resource(self, document: Any, there: Guard, governed: Governed) -> Iterator[Entry]:
        # Some services' policies name no resource: it is the one that has the policy.
        for guard, statement, label in self.entries_of(document, there, f"{governed.name} resource"):
            own = {} if {"Resource", "NotResource"} & set(statement) else {"Resource": "*"}
            yield guard, {**own, **statement}, label

    def _permission(self, name: str, properties: Mapping[str, Any], there: Guard) -> None:
        function = properties.get("FunctionName")
        for guard, of in items(function):
            own = self.owner(of)
            suffix = ""
            if own and self.template.resources[own]["Type"] in {"AWS::Lambda::Alias", "AWS::Lambda::Version"}:
                inner = self.template.properties(own).get("FunctionName")
                own, suffix = self._called(inner), f":{own}"
            elif not own and isinstance(of, str) and self.owner(of.rpartition(":")[0]):
                own, suffix = self.owner(of.rpartition(":")[0]), f":{of.rpartition(':')[2]}"
            governed = self._govern(own or str(plain(of)), "lambda")
            resource = f"{governed.arn}{suffix}" if governed.arn else "*"
            statement = {"Sid": name, **_permission(properties, resource)}
            if not self._is_own_api(statement["Principal"], properties.get("SourceArn")):
                governed.statements.append((both(there, guard), statement, f"{governed.name} resource: {name}"))

    def _is_own_api(self, principal: Any, source: Any) -> bool:
        """Return whether a permission is for an API of the template, whose routes are facts."""
        if self._own_api or principal != {"Service": "apigateway.amazonaws.com"}:
            return False
        texts = [str(plain(text)) for _, text in items(source)] if source is not None else []
        apis = [
            self.template.names[f"{name}.Arn"]
            for name, resource in self.template.resources.items()
            if resource["Type"] in _APIS
        ]
        return bool(texts) and all(any(text.startswith(f"{arn}/") for arn in apis) for text in texts)

    def _bus_policy(self, name: str, properties: Mapping[str, Any], there: Guard) -> None:
        bus = properties.get("EventBusName", "default")
        governed = self._govern(self.owner(bus) or f"event bus {plain(bus)}", "events")
        if "Statement" in properties:
            governed.statements += self.entries_of(
                {"Version": "2012-10-17", "Statement": properties["Statement"]}, there, f"{governed.name} resource"
            )
            return
        given = properties.get("Condition")
        condition = (
            {given["Type"]: {given["Key"]: given["Value"]}} if isinstance(given, Mapping) and "Key" in given else {}
        )
        statement = {**_permission(properties), "Condition": condition}
        governed.statements.append((there, statement, f"{governed.name} resource: {name}"))

    # --- Documents ----------------------------------------------------------------------------------------------------

    def entries_of(self, document: Any, there: Guard, label: str) -> Iterator[Entry]:
        """Read a document, in whichever of its forms."""
        for guard, case in alternatives(document):
            given = both(there, guard)
            if case is None or given == NEVER:
                continue
            read = parsed(case)
            if not isinstance(read, Mapping):
                yield given, {"unreadable policy": plain(case)}, label
                continue
            version = read.get("Version", "2008-10-17")
            number = 0
            for inner, written in items(read.get("Statement", [])):
                number += 1
                if not isinstance(written, Mapping) or version not in {"2012-10-17", "2008-10-17"}:
                    unreadable = {"unreadable statement": plain(written), "Version": plain(version)}
                    yield both(given, inner), unreadable, label
                    continue
                # What older policies mean as text is escaped.
                statement = written if version == "2012-10-17" else mapped(written, _escaped)
                head = {key: statement[key] for key in ("Effect", "Sid") if key in statement}
                for case_guard, fixed in cases(head):
                    when = both(given, inner, case_guard)
                    if when != NEVER:
                        name = f"{label}: {plain(fixed.get('Sid', f'statement {number}'))}"
                        yield when, {**statement, **fixed}, name

    # --- Facts --------------------------------------------------------------------------------------------------------

    def _fact(self, who: str, what: str, there: Guard, key: tuple[str, ...], **more: Any) -> None:
        self.facts.append(Fact(who, what, there, key, **more))

    def _api(self, name: str, properties: Mapping[str, Any], there: Guard) -> None:
        body = properties.get("Body")
        for guard, document in alternatives(body):
            if isinstance(document, Mapping):
                self._routes(name, document, both(there, guard))
            elif document is not None and document is not NOTHING:
                self.unread.add((name, f"{plain(document)} {guard}"))
        in_body = [doc.get("x-amazon-apigateway-policy") for _, doc in alternatives(body) if isinstance(doc, Mapping)]
        policies = [policy for policy in (properties.get("Policy"), *in_body) if policy is not None]
        governed = self._govern(name, "execute-api")
        if len(policies) > 1 and policies[0] != policies[1]:
            governed.statements.append((there, {"two policies": "Policy and x-amazon-apigateway-policy"}, name))
        elif policies:
            # `execute-api:/…` is expanded, as API Gateway does when it stores a policy.
            expanded = mapped(policies[0], lambda text: re.sub("^execute-api:/", f"{governed.arn}/", text))
            governed.statements += self.entries_of(expanded, there, f"{name} resource")
        else:
            # Without a policy, whoever sends a request is judged by the route alone.
            anyone = {
                "Sid": "no policy",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": "execute-api:*",
                "Resource": "*",
            }
            unsigned = {**anyone, "Condition": {"StringEquals": {"aws:PrincipalType": "Anonymous"}}}
            governed.statements.append((there, unsigned, f"{name} resource: no policy"))

    def _routes(self, api: str, body: Mapping[str, Any], there: Guard) -> None:
        components = body.get("components")
        inside = components.get("securitySchemes") if isinstance(components, Mapping) else None
        schemes = inside or body.get("securityDefinitions") or {}
        macros = [body[key] for key in body if key.startswith("Fn::")]
        self.unread |= {(api, json.dumps(plain(macro), sort_keys=True)) for macro in macros}
        for guard, paths in alternatives(body.get("paths", {})):
            for path, item in self._readable(api, paths, guard).items():
                for inner, methods in alternatives(item):
                    for method, operation in self._readable(api, methods, both(guard, inner)).items():
                        if method in _METHODS:
                            given = both(there, guard, inner)
                            self._operation(api, method, path, operation, body.get("security"), schemes, given)

    def _readable(self, api: str, value: Any, guard: Guard) -> Mapping[str, Any]:
        if isinstance(value, Mapping):
            self.unread |= {(api, json.dumps(plain(value), sort_keys=True)) for key in value if key.startswith("Fn::")}
            return value
        if value is not NOTHING and value is not None:
            self.unread.add((api, f"{plain(value)} {guard}"))
        return {}

    def _operation(
        self, api: str, method: str, path: str, operation: Any, shared: Any, schemes: Any, there: Guard
    ) -> None:
        route = f"{'ANY' if method.startswith('x-') else method.upper()} {path}"
        for guard, found in alternatives(operation):
            case = self._readable(api, found, guard)
            if not case:
                continue
            declared = case.get("x-amazon-apigateway-auth")
            for inner, security in alternatives(case.get("security", shared)):
                auth = _authorization(security, schemes)
                if auth == "NONE" and isinstance(declared, Mapping):
                    auth = str(plain(declared.get("type", "NONE")))
                self._route(api, route, auth, case.get("x-amazon-apigateway-integration"), both(there, guard, inner))

    def _route(self, api: str, route: str, auth: str, integration: Any, there: Guard) -> None:
        for guard, target in alternatives(integration):
            kind = str(plain(target.get("type", target.get("Type", ""))) if isinstance(target, Mapping) else "").upper()
            if kind == "MOCK" and route.startswith("OPTIONS "):
                continue  # what browsers ask first, answered by the API itself
            given = both(there, guard)
            if auth == "NONE":
                who, how = "anyone on the internet", " without a signature"
            elif auth == _KEY:
                who, how = "anyone on the internet who has an API key", " without a signature"
            elif auth == "AWS_IAM":
                who, how = "whoever may sign for it", ""
            else:
                who, how = f"whoever the authorizer admits ({auth})", ""
            key, open_key = ("route", api, route, auth), ("route", api, route, "NONE")
            self._fact(
                who, f"{route} of {api}{how}", given, key, implied_by=open_key, needs=api if auth == "AWS_IAM" else ""
            )
            behind = _behind(target, self._owner)
            # As the caller, who needs a permission for what is behind as well, is less than as the API.
            self._fact(
                "whoever may call it",
                f"{route} of {api} reaches {behind}",
                given,
                ("behind", api, route, behind),
                implied_by=("behind", api, route, behind.removesuffix(_AS_CALLER)),
                needs=f"route {api} {route}",
            )

    def _method(self, name: str, properties: Mapping[str, Any], there: Guard) -> None:
        api = self._called(properties.get("RestApiId"))
        path = self._path(properties.get("ResourceId"))
        method = plain(properties.get("HttpMethod"))
        for guard, shown in _method_authorization(properties):
            self._route(api, f"{method} {path}", shown, properties.get("Integration"), both(there, guard))

    def _path(self, resource: Any) -> str:
        own = self.owner(resource)
        if not own or self.template.resources[own]["Type"] != "AWS::ApiGateway::Resource":
            return "/"
        properties = self.template.properties(own)
        return f"{self._path(properties.get('ParentId')).rstrip('/')}/{plain(properties.get('PathPart'))}"

    def _route_v2(self, name: str, properties: Mapping[str, Any], there: Guard) -> None:
        api = self._called(properties.get("ApiId"))
        for guard, shown in _method_authorization(properties):
            target = {"uri": properties.get("Target")}
            self._route(api, str(plain(properties.get("RouteKey"))), shown, target, both(there, guard))

    def _url(self, name: str, properties: Mapping[str, Any], there: Guard) -> None:
        function = self._called(properties.get("TargetFunctionArn"))
        for guard, auth in alternatives(properties.get("AuthType")):
            if auth != "AWS_IAM":
                of = " ".join(filter(None, [function, str(plain(properties.get("Qualifier", "")))]))
                what = f"call {of} by its URL without a signature"
                self._fact("anyone on the internet", what, both(there, guard), ("url", of, str(plain(auth))))

    def _other_facts(self, name: str, kind: str, properties: Mapping[str, Any], there: Guard) -> None:
        for given, case in cases(types.works_as(kind, properties), there):
            for _, role in types.roles(kind, case):
                for one in role if isinstance(role, list) else [role]:
                    own = self.owner(one)
                    shown = own or str(plain(one))
                    self._fact(name, f"works as the role {shown}", given, ("role", name, shown), needs=own)
        for path in self._watched:
            of, _, inside = path.partition(".")
            found = _inside(properties, inside.split(".")) if of == kind else ()
            for given, value in (
                (when, case) for guard, item in found for when, case in cases(item, both(there, guard))
            ):
                if value is not None and value is not NOTHING:
                    shown = json.dumps(plain(value), sort_keys=True)
                    who = f"whoever {inside.rpartition('.')[2]} of {name} names"
                    self._fact(who, f"is accepted: {shown}", given, ("watched", name, path, shown))
        if kind == "AWS::S3::Bucket":
            for guard, control in alternatives(properties.get("AccessControl", "Private")):
                if isinstance(control, Opaque) or str(control) in {
                    "PublicRead",
                    "PublicReadWrite",
                    "AuthenticatedRead",
                }:
                    what = f"use the bucket {name} as {plain(control)} says"
                    self._fact("anyone on the internet", what, both(there, guard), ("acl", name, str(plain(control))))


def _under(there: Guard, entries: Iterable[Entry]) -> list[Entry]:
    found = ((both(there, when), statement, label) for when, statement, label in entries)
    return [entry for entry in found if entry[0] != NEVER]


def _lambda_principal(value: Any) -> Any:
    if isinstance(value, Choice):
        return Choice(tuple((guard, _lambda_principal(case)) for guard, case in value.cases))
    if value == "*":
        return "*"
    if isinstance(value, Opaque):
        return {"AWS": value, "Service": value}
    is_service = isinstance(value, str) and "." in value and not value.startswith("arn:")
    return {"Service" if is_service else "AWS": text_of(value)}


def _permission(properties: Mapping[str, Any], resource: str = "*") -> dict[str, Any]:
    """Return the statement that a permission makes."""
    principal, action = _lambda_principal(properties.get("Principal")), properties.get("Action")
    condition: dict[str, dict[str, Any]] = {}
    for name, (operator, key) in _CONDITIONS.items():
        if properties.get(name) is not None:
            condition.setdefault(operator, {})[key] = properties[name]
    return {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource, "Condition": condition}


def _authorization(security: Any, schemes: Any) -> str:
    """Return how a request of an operation is authorized: by the requirements, one of which is enough."""
    requirements = [one for _, one in items(security or [])]
    if any(not isinstance(one, Mapping) for one in requirements):
        return json.dumps(plain(security), sort_keys=True)
    if not requirements or not all(requirements):
        return "NONE"
    found = dict.fromkeys(
        " ".join(filter(None, [_scheme(schemes, name), json.dumps(plain(scopes)) if scopes else ""]))
        for one in requirements
        for name, scopes in one.items()
    )
    named = [name for name in found if name != _KEY]
    return "AWS_IAM" if "AWS_IAM" in named else " and ".join(named) or _KEY


def _method_authorization(properties: Mapping[str, Any]) -> Iterator[tuple[Guard, str]]:
    """Iterate over how a request of a method or route is authorized."""
    relevant = ("AuthorizationType", "AuthorizerId", "AuthorizationScopes", "ApiKeyRequired")
    for guard, case in cases({key: properties[key] for key in relevant if key in properties}):
        kind = str(plain(case.get("AuthorizationType", "NONE")))
        if kind == "NONE" and text_of(case.get("ApiKeyRequired", False)) == "true":
            yield guard, _KEY
        elif kind in {"NONE", "AWS_IAM"}:
            yield guard, kind
        else:
            scopes = case.get("AuthorizationScopes")
            details = [kind, plain(case.get("AuthorizerId", "")), json.dumps(plain(scopes)) if scopes else ""]
            yield guard, " ".join(str(part) for part in details if part)


def _scheme(schemes: Any, name: str) -> str:
    """Return an authorizer by its name and definition, so that another definition is another authorizer."""
    definition = schemes.get(name) if isinstance(schemes, Mapping) else None
    shown = json.dumps(plain(definition), sort_keys=True) if definition else ""
    if "awsSigv4" in shown or name in {"sigv4", "AWS_IAM"}:
        return "AWS_IAM"
    if name == "api_key" or (
        isinstance(definition, Mapping) and definition.get("name") == "x-api-key" and len(definition) == 3
    ):
        return _KEY
    details = plain(definition.get("x-amazon-apigateway-authorizer", {})) if isinstance(definition, Mapping) else {}
    neutral = {"authorizerResultTtlInSeconds"}
    kept = (
        {key: value for key, value in details.items() if key not in neutral} if isinstance(details, dict) else details
    )
    return f"{name} {json.dumps(kept, sort_keys=True)}" if kept else name


def _behind(integration: Any, own: Mapping[str, str]) -> str:
    """Return what a route reaches, and as whom."""
    if not isinstance(integration, Mapping):
        return "nothing" if integration is None else json.dumps(plain(integration), sort_keys=True)
    uri = plain(integration.get("uri", integration.get("Uri", "")))
    role = plain(integration.get("credentials", integration.get("Credentials", "")))
    kind = plain(integration.get("type", integration.get("Type", "")))
    shown = str(uri)
    function = re.search(r"functions/(arn:aws:lambda:[^/]*:function:[^:/]+)[^/]*/invocations", shown)
    if function:
        shown = own.get(function[1], function[1])
    details = ""
    if str(kind).upper() == "AWS":
        # What an AWS service is asked is part of what a caller can do.
        relevant = ("requestParameters", "RequestParameters", "requestTemplates", "RequestTemplates")
        details = json.dumps([plain(integration.get(key)) for key in relevant if key in integration], sort_keys=True)
    return " ".join(filter(None, [shown, f"as {role}" if role else "", details]))


def _inside(value: Any, path: list[str]) -> Iterator[tuple[Guard, Any]]:
    """Iterate over what is at a path of keys, in each case; None if there is nothing."""
    for guard, case in alternatives(value):
        if not path or not isinstance(case, Mapping):
            yield guard, case if case is not NOTHING else None
        elif path[0] not in case:
            yield guard, None
        else:
            yield from ((both(guard, inner), found) for inner, found in _inside(case[path[0]], path[1:]))


def _escaped(text: str) -> str:
    return text.replace("${", "${$}{")


def parsed(document: Any) -> Any:
    """Read a policy that is given as JSON text, its unknown pieces included."""
    terms: list[Term] = []
    if isinstance(document, Opaque) and any(isinstance(piece, str) and "{" in piece for piece in document.pieces):
        terms, pieces = document.terms, iter(range(len(document.terms)))
        document = "".join(p if isinstance(p, str) else f"\ue000{next(pieces)}\ue001" for p in document.pieces)

    def with_terms(text: str) -> Any:
        found = re.split("\ue000([0-9]+)\ue001", text)
        return (
            Opaque(tuple(terms[int(p)] if i % 2 else p for i, p in enumerate(found) if p)) if len(found) > 1 else text
        )

    if isinstance(document, str):
        try:
            return mapped(json.loads(document), with_terms)
        except json.JSONDecodeError:
            return None
    return document
