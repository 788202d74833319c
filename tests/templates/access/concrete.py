"""What a template says about access with given parameters, read without the engine, and judged by another evaluator.

The judge is the reference evaluator of reach (AGPL, tests only): it uses neither solver nor symbols.
"""

# ruff: noqa: S311 - the same choices each time
import ast
import os
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unittest.mock import patch

from reach.engine import Principal, ResourcePolicy
from reach.policy import Policy, parse_policy
from reach.reference import evaluate
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from cross_account_access.documents import listed
from tests.templates.access.edits.rewrites import read

ACCOUNT, REGION = "111111111111", "eu-west-1"
_PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::StackName": "stack",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/stack/1",
}
_NO_VALUE = object()
_ARNS = {
    "AWS::IAM::Role": "arn:aws:iam::{account}:role/{name}",
    "AWS::SQS::Queue": "arn:aws:sqs:{region}:{account}:{name}",
    "AWS::SNS::Topic": "arn:aws:sns:{region}:{account}:{name}",
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:{region}:{account}:table/{name}",
    "AWS::Lambda::Function": "arn:aws:lambda:{region}:{account}:function:{name}",
    "AWS::Logs::LogGroup": "arn:aws:logs:{region}:{account}:log-group:{name}:*",
    "AWS::IAM::OIDCProvider": "arn:aws:iam::{account}:oidc-provider/{name}",
    "AWS::IAM::ManagedPolicy": "arn:aws:iam::{account}:policy/{name}",
    "AWS::ApiGateway::RestApi": "arn:aws:execute-api:{region}:{account}:{name}",
}
# What Ref returns, if not the name.
_REF_IS_ARN = {"AWS::SNS::Topic", "AWS::IAM::ManagedPolicy", "AWS::IAM::OIDCProvider"}
_GOVERNING = {
    "AWS::SQS::QueuePolicy": "Queues",
    "AWS::SQS::QueueInlinePolicy": "Queue",
    "AWS::SNS::TopicPolicy": "Topics",
    "AWS::SNS::TopicInlinePolicy": "TopicArn",
}
_CARRYING = {"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"}
_FUNCTION = re.compile(r"\$\{(!?)([^}]*)\}")

type Document = dict[str, Any]


@dataclass
class Stack:
    """A template with values for its parameters: statements by the ARN of what they are of."""

    identity: defaultdict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    resource: defaultdict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    trust: defaultdict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    carriers: set[tuple[str, str]] = field(default_factory=set)  # named users, groups and roles, and their policies


# Values of a parameter and requests for each that is answered with "no change".
PARAMETERS, REQUESTS = 3, 60
WORDS = ["222222222222", "arn:aws:iam::222222222222:role/job", "222222222222-*", "o-aaaaaaaaaa"]


def disagreement(before: str, after: str, seed: str) -> "Request | None":
    """Return a request that the other judge allows in one revision only."""
    chance = random.Random(seed)
    for number in range(PARAMETERS):
        values = [defaults(_read(text), random.Random(f"{seed}{number}"), WORDS) for text in (before, after)]
        one, other = (stack(text, {**values[1], **values[0]}) for text in (before, after))
        for request in requests(one, other, REQUESTS, chance):
            answers = [allowed(item, request) for item in (one, other)]
            if None not in answers and answers[0] != answers[1]:
                return request
        assert one.carriers == other.carriers
    return None


def defaults(template: Mapping[str, Any], chance: random.Random, words: list[str]) -> dict[str, Any]:
    """Choose values for the parameters: their defaults, or others that may be in a policy."""
    return {
        name: chance.choice([str(item) for item in declared["AllowedValues"]])
        if "AllowedValues" in declared and chance.random() < 0.5
        else declared["Default"]
        if "Default" in declared and chance.random() < 0.6
        else chance.choice(words)
        for name, declared in (template.get("Parameters") or {}).items()
    }


def stack(text: str, parameters: Mapping[str, Any]) -> Stack:
    """Read the documents of a template."""
    read = _Reader(_made(text), parameters)
    found = Stack()
    for name in read.resources:
        read.add(name, found)
    return found


_read = cache(read)  # for whoever changes nothing


@cache
def _made(text: str) -> dict[str, Any]:
    return _by_sam(read(text))


def _by_sam(template: dict[str, Any]) -> dict[str, Any]:
    if "Transform" not in template:
        return template
    for resource in template["Resources"].values():
        if "CodeUri" in resource.get("Properties", {}):
            resource["Properties"]["CodeUri"] = "s3://bucket/code"
    for declared in template.get("Parameters", {}).values():
        declared.pop("Default", None)
    with patch.dict(os.environ, {"AWS_DEFAULT_REGION": REGION}):
        made: dict[str, Any] = Translator({}, Parser()).translate(template, {})
    return made


class _Reader:
    def __init__(self, template: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
        self._parameters = {
            name: [item.strip() for item in str(parameters[name]).split(",")]
            if "List" in declared["Type"]
            else str(parameters[name])
            for name, declared in (template.get("Parameters") or {}).items()
        }
        self._conditions = template.get("Conditions") or {}
        self._mappings = template.get("Mappings") or {}
        self._all = template["Resources"]
        self.resources = {
            name: resource
            for name, resource in self._all.items()
            if "Condition" not in resource or self._holds({"Condition": resource["Condition"]})
        }

    def add(self, name: str, found: Stack) -> None:
        kind = self.resources[name]["Type"]
        properties = self._resolve(self.resources[name].get("Properties", {}))
        if kind == "AWS::IAM::Role":
            arn = self.arn(name)
            found.trust[arn] += _statements(properties["AssumeRolePolicyDocument"])
            held = found.identity[arn]
            for policy in properties.get("Policies", []):
                held += _statements(policy["PolicyDocument"])
            for attached in properties.get("ManagedPolicyArns", []):
                policies = (n for n in self._all if self._all[n]["Type"].endswith("Policy"))
                if own := next((n for n in policies if self.arn(n) == attached), ""):
                    held += _statements(self._resolve(self._all[own]["Properties"])["PolicyDocument"])
                else:
                    found.carriers.add((arn, attached))
        elif kind in _CARRYING:
            statements = _statements(properties["PolicyDocument"])
            for role in [*properties.get("Roles", []), *([properties["RoleName"]] if "RoleName" in properties else [])]:
                found.identity[f"arn:aws:iam::{ACCOUNT}:role/{role}"] += statements
            for user in [*properties.get("Users", []), *properties.get("Groups", [])]:
                found.identity[f"arn:aws:iam::{ACCOUNT}:user/{user}"] += statements
        elif kind in _GOVERNING:
            for governed in listed(properties[_GOVERNING[kind]]):
                arn = governed if governed.startswith("arn:") else f"arn:aws:sqs:{REGION}:{ACCOUNT}:{governed}"
                found.resource[arn] += _statements(properties["PolicyDocument"])
        elif kind == "AWS::ApiGateway::RestApi" and "Policy" in properties:
            for statement in _statements(properties["Policy"]):
                element = "Resource" if "Resource" in statement else "NotResource"
                expanded = [text.replace("execute-api:/", f"{self.arn(name)}/") for text in listed(statement[element])]
                found.resource[self.arn(name)].append({**statement, element: expanded})

    def arn(self, name: str) -> str:
        return _ARNS.get(self._all[name]["Type"], "arn:{name}").format(account=ACCOUNT, region=REGION, name=name)

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            resolved = [self._resolve(item) for item in value]
            return [item for item in resolved if item is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(function, argument)] = value.items()
            if function in {"Ref", "Condition"} and isinstance(argument, str):
                return self._reference(argument) if function == "Ref" else value
            if function.startswith("Fn::"):
                return self._call(function, argument)
        by_key = {key: self._resolve(item) for key, item in value.items()}
        return {key: item for key, item in by_key.items() if item is not _NO_VALUE}

    def _reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in self._parameters:
            return self._parameters[name]
        if name in _PSEUDO:
            return _PSEUDO[name]
        return self.arn(name) if self._all[name]["Type"] in _REF_IS_ARN else name

    def _call(self, function: str, argument: Any) -> Any:
        match function:
            case "Fn::If":
                return self._resolve(argument[1 if self._holds({"Condition": argument[0]}) else 2])
            case "Fn::GetAtt":
                name, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
                ids = {"RoleId": f"AROA{name.upper()}", "QueueName": name, "QueueUrl": name}
                return self.arn(name) if attribute in {"Arn", "TopicArn"} else ids.get(attribute, f"{name}.{attribute}")
            case "Fn::Sub":
                text, names = argument if isinstance(argument, list) else (argument, {})
                names = self._resolve(names)
                return _FUNCTION.sub(lambda found: self._in_text(found, names), text)
            case "Fn::Join":
                return argument[0].join(map(str, self._resolve(argument[1])))
            case "Fn::Split":
                return str(self._resolve(argument[1])).split(argument[0])
            case "Fn::Select":
                return self._resolve(argument[1])[int(self._resolve(argument[0]))]
            case "Fn::FindInMap":
                name, first, second = self._resolve(argument)
                return self._mappings[name][first][second]
            case "Fn::GetAZs" | "Fn::ImportValue" | "Fn::Base64":
                return f"{function} {argument}"
        raise NotImplementedError(function)

    def _in_text(self, found: re.Match[str], names: Mapping[str, Any]) -> str:
        if found[1]:
            return f"${{{found[2]}}}"
        if found[2] in names:
            return str(names[found[2]])
        if "." in found[2]:
            return str(self._call("Fn::GetAtt", found[2]))
        return str(self._reference(found[2]))

    def _holds(self, condition: Any) -> bool:
        [(function, argument)] = condition.items()
        match function:
            case "Condition":
                return self._holds(self._conditions[argument])
            case "Fn::Not":
                return not self._holds(argument[0])
            case "Fn::And":
                return all(map(self._holds, argument))
            case "Fn::Or":
                return any(map(self._holds, argument))
            case "Fn::Equals":
                one, other = map(self._resolve, argument)
                return str(one) == str(other)
        raise NotImplementedError(function)


def _statements(document: Mapping[str, Any]) -> list[Any]:
    return listed(document["Statement"])


@dataclass(frozen=True)
class Request:
    """A request of a role's session or a user."""

    principal: str
    action: str
    resource: str
    context: tuple[tuple[str, str], ...]


def requests(one: Stack, other: Stack, count: int, chance: random.Random) -> Iterator[Request]:
    """Make requests that fit some statement of either stack, but for one thing or two now and then."""
    about = [
        (owner, statement)
        for item in (one, other)
        for documents in (item.identity, item.resource, item.trust)
        for owner, statements in documents.items()
        for statement in statements
    ]
    owners = sorted({owner for owner, _ in about})
    for _ in range(count if about else 0):
        owner, statement = chance.choice(about)
        _, odd = chance.choice(about)
        action, principals = _any(statement, "Action", chance), [owner]
        if "Principal" in statement:
            named = statement["Principal"]
            accounts = re.findall(r"[0-9]{12}", str(named)) if isinstance(named, dict) else []
            principals = [one for one in _PRINCIPALS if not accounts or one.split(":")[4] in accounts] or [*_PRINCIPALS]
        if "Resource" in statement or "NotResource" in statement:
            resource = _any(statement, "Resource", chance)
        else:
            resource = owner
        if resource == "*" or "Resource" not in statement:
            resource = chance.choice(owners)
        context = dict(pair for source in (odd, statement) for pair in _condition(source, chance))
        changed = chance.random()
        if changed < 0.1:
            action = _any(odd, "Action", chance)
        elif changed < 0.2:
            resource = chance.choice(owners)
        elif changed < 0.3:
            principals = [*owners, *_PRINCIPALS]
        elif changed < 0.45 and context:
            context.pop(chance.choice(sorted(context)))
        principal = chance.choice([item for item in principals if item.startswith("arn:aws:iam")] or [*_PRINCIPALS])
        yield Request(principal, _instance(action, chance), _instance(resource, chance), tuple(sorted(context.items())))


def _any(statement: Mapping[str, Any], element: str, chance: random.Random) -> str:
    found = statement.get(element, statement.get(f"Not{element}", "*"))
    return str(chance.choice(listed(found) or ["*"]))


def _condition(statement: Mapping[str, Any], chance: random.Random) -> Iterator[tuple[str, str]]:
    for block in statement.get("Condition", {}).values():
        for key, values in block.items():
            if key.lower() not in _IDENTIFYING:
                of_key = [*map(str, listed(values)), *_VALUES.get(key.lower(), [])]
                yield key, _instance(chance.choice(of_key or ["x"]), chance)


_PRINCIPALS = (
    f"arn:aws:iam::{ACCOUNT}:role/Somebody",
    f"arn:aws:iam::{ACCOUNT}:user/intern",
    "arn:aws:iam::222222222222:role/job",
    "arn:aws:iam::222222222222:role/aws-reserved/sso.amazonaws.com/people",
    "arn:aws:iam::222222222222:user/ann",
    "arn:aws:iam::999999999999:role/stranger",
)
_VALUES = {
    "aws:multifactorauthpresent": ["true", "false"],
    "aws:securetransport": ["true", "false"],
    "sts:rolesessionname": ["222222222222-a", "111111111111-a", "999999999999-b", "x"],
    "aws:sourceaccount": [ACCOUNT, "999999999999"],
    "aws:principalorgid": ["o-aaaaaaaaaa", "o-bbbbbbbbbb"],
}
_IDENTIFYING = {"aws:principaltype", "aws:principalarn", "aws:principalaccount", "aws:userid"}


def _instance(text: str, chance: random.Random) -> str:
    """Replace wildcards and variables by something that they match."""
    text = re.sub(r"\$\{[^}]*\}", "222222222222", text)
    return re.sub(r"\*", lambda _: chance.choice(["x", "orders/1", "v1/GET/whoami"]), text).replace("?", "x")


def allowed(item: Stack, request: Request) -> bool | None:
    """Whether a stack's policies allow a request; None where the judge does not know."""
    own = request.principal.split(":")[4] == ACCOUNT
    held = item.identity.get(request.principal)
    # Whoever is not of the stack may do what his own account lets him do: everything.
    identity = held if held is not None else [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
    is_role = ":role/" in request.principal
    name = request.principal.rpartition("/")[2]
    user_id = (
        f"AROA{name.upper()}:{dict(request.context).get('sts:RoleSessionName', 's')}" if is_role else f"AIDA{name}"
    )
    context = {
        **dict(request.context),
        "aws:PrincipalType": "AssumedRole" if is_role else "User",
        "aws:PrincipalArn": request.principal,
        "aws:PrincipalAccount": request.principal.split(":")[4],
        "aws:userid": user_id,
    }
    parts = request.resource.split(":", 5)
    api = ":".join([*parts[:5], parts[5].split("/")[0]]) if len(parts) > 5 else request.resource
    trust = item.trust.get(request.resource)
    statements = trust if trust is not None else item.resource.get(request.resource, item.resource.get(api))
    policy = _parsed(repr(statements or []))
    governing = ResourcePolicy(policy, ACCOUNT, required=trust is not None)
    if statements is None and not own:
        return False
    sender = Principal(request.principal, [_parsed(repr(identity))])
    answer: bool | None = evaluate(sender, request.action, request.resource, context, resource_policy=governing)
    return answer


@cache
def _parsed(statements: str) -> Policy:
    """Parse statements, which are written as Python so that they can be a key."""
    document: Document = {"Version": "2012-10-17", "Statement": ast.literal_eval(statements)}
    return parse_policy(document, "policy")
