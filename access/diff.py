"""Access that a change of the templates adds or removes: two revisions, compared for every possible request."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import z3

from access.contract import CONTRACT
from access.documents import Document, document, listed
from access.engine import patterns
from access.engine.case import Case
from access.engine.decision import Decision, decide
from access.engine.evaluator import allowed, identity_allows
from access.engine.fields import FALSE, TRUE, all_of, any_of
from access.engine.request import Kind, Request
from access.matrix import call_arn
from access.model import Model
from access.properties import api_calls, as_deployed, is_call_of, method_arn, other_ways_in, solve, statements
from access.templates import FILES

_REQUIRED = (Path(FILES["a"]), Path(FILES["b"]))
_OPTIONAL = (Path(FILES["access"]), CONTRACT)
_MOST = 12
ANYTHING = "anything that its own account allows"
# Actions of witnesses where any would do.
_ACTIONS = (
    "sts:AssumeRole",
    "sts:TagSession",
    "sts:SetSourceIdentity",
    "sts:SetContext",
    "execute-api:Invoke",
    "execute-api:InvalidateCache",
    "lambda:InvokeFunction",
    "lambda:UpdateFunctionCode",
    "dynamodb:GetItem",
    "dynamodb:DeleteTable",
    "sqs:SendMessage",
    "sqs:ReceiveMessage",
    "sqs:PurgeQueue",
    "sns:Publish",
    "sns:Subscribe",
    "kms:Decrypt",
    "logs:DeleteLogGroup",
    "s3:GetObject",
    "iam:CreateUser",
    "xray:GetTraceSummaries",
)
# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_sts-comparison.html: who can call AssumeRole. Services
# assume the roles that trust them on their own.
_MAY_ASSUME = (Kind.USER, Kind.ROLE, Kind.SERVICE)
# Services whose API accepts only signed requests.
_SIGNED = {"kms", "lambda"}


class RevisionError(Exception):
    """A revision, or one of its templates, does not exist."""


@dataclass(frozen=True)
class Change:
    """Access that one revision gives and the other does not."""

    gained: bool  # by the newer revision; else lost
    who: str  # in words
    what: str  # in words
    witness: Case | None  # None where no policy is involved
    before: str  # why the older revision allows or refuses the witness
    after: str
    decided_by: tuple[str, ...]  # the statements that make the difference, by `document: Sid`
    variant: str = ""  # the deployment that shows it


def checkout(revision: str, folder: Path, repository: Path) -> Path:
    """Write the templates and the contract of a revision to a folder.

    Raises:
        RevisionError: There is no such revision, or it has no templates.
    """
    for path in (*_REQUIRED, *_OPTIONAL):
        command = ["git", "-C", str(repository), "show", f"{revision}:./{path}"]
        found = subprocess.run(command, capture_output=True, check=False)
        if found.returncode == 0:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(found.stdout)
        elif path in _REQUIRED:
            raise RevisionError(found.stderr.decode().strip())
    return folder


def compare_all(bases: Mapping[str, Model], heads: Mapping[str, Model]) -> list[Change]:
    """Compare models by name and return the changes, each once, gains first."""
    found: dict[tuple[bool, str, str], Change] = {}
    for name, head in heads.items():
        for change in compare(bases[name], head):
            found.setdefault((change.gained, change.who, change.what), replace(change, variant=name))
    return sorted(found.values(), key=lambda change: not change.gained)


def compare(base: Model, head: Model) -> Iterator[Change]:
    """Compare two models.

    Raises:
        UndecidedError: z3 did not decide in time.
        NotModelledError: A policy uses something that the logic does not support.
    """
    return _Comparison(base, head).changes()


@dataclass(frozen=True)
class _Question:
    """What to compare: when each revision allows a request, and how to describe the difference."""

    request: Request
    decisions: tuple[Any, ...]  # when each revision allows it
    what: str  # in words; `{action}` and `{resource}` are those of the witness
    policy: str = ""  # name of the resource's policy
    identity: str = ""  # name of the principal's own policy; by default that of the witness
    route: str = ""
    who: str = ""  # in words; by default derived from the witness
    by_action: bool = False  # report each action and resource, not only each caller
    preferred: Any = TRUE  # what a witness should look like


class _Comparison:
    def __init__(self, base: Model, head: Model) -> None:
        self._models = (base, head)
        self._roles = {role.arn: role for model in self._models for role in model.roles}
        self._executors = {model.executor.arn: model.executor.name for model in self._models}
        self._more_roles = {role_id for model in self._models for role_id in model.intent.more_role_ids}
        consumers = {account for model in self._models for account in model.intent.consumers}
        a, b = head.accounts()
        self._accounts = {"account A": {a}, "a consumer account": consumers, "account B": {b} - consumers}

        names = {name for model in self._models for name in model.documents}
        written = [
            action
            for model in self._models
            for policy in model.documents.values()
            for statement in policy["Statement"]
            for action in listed(statement.get("Action", statement.get("NotAction", [])))
            if patterns.is_literal(action)
        ]
        self._services = set(re.findall(r"[\w-]+\.amazonaws\.com", str([model.documents for model in self._models])))
        physical = (stack.physical for model in self._models for stack in model.stacks.values())
        self._arns = [arn for names in physical for key, arn in names.items() if key.endswith(".Arn")]
        self._actions = {action.lower(): action for action in (*_ACTIONS, *written)}
        # Questions about other documents have the same answer in both.
        self._changed = {name for name in names if base.documents.get(name) != head.documents.get(name)}

    def changes(self) -> Iterator[Change]:
        yield from self._structure()
        for questions in (self._calls(), self._sessions(), self._identities(), self._resources()):
            for question in questions:
                yield from self._answer(question)

    def _structure(self) -> Iterator[Change]:
        """Routes without a signature, and other ways in."""
        base, head = map(_unguarded, self._models)
        for what in sorted(head ^ base):
            yield Change(what in head, "anyone", what, None, "", "", ())

    def _calls(self) -> Iterator[_Question]:
        """Calls of the routes of either revision."""
        base, head = map(_call_policies, self._models)
        if base == head:
            return
        routes = {str(route): route for model in self._models for route in model.routes}
        for name, route in routes.items():
            for kind in Kind:
                request = self._request(kind)
                example = [request.resource.equals(call_arn(model, route)) for model in self._models]
                yield _Question(
                    request,
                    tuple(_call(model, request, name) for model in self._models),
                    what=name,
                    route=name,
                    preferred=any_of(*example),
                )

    def _sessions(self) -> Iterator[_Question]:
        """Assumptions of every role."""
        for name in self._names("trust"):
            for kind in _MAY_ASSUME:
                request = self._request(kind)
                on_it = all_of(request.resource.equals(self._arn(name)), request.action.like("sts:*"))
                assumes = request.action.like("sts:assumerole")
                trust = [self._allowed(model, request, name, "trust") for model in self._models]
                for what, action in ((f"assume {name}", assumes), (f"{{action}} on {name}", z3.Not(assumes))):
                    yield _Question(
                        request,
                        tuple(all_of(on_it, action, decision) for decision in trust),
                        what=what,
                        policy=f"{name} trust",
                    )

    def _identities(self) -> Iterator[_Question]:
        """Grants of roles and of policies for people, except calls of the API's routes, which `_calls` compares."""
        for name in self._names("identity"):
            role = next((role for role in self._roles.values() if role.name == name), None)
            request = self._request(Kind.ROLE if role else Kind.USER)
            is_it = request.is_session_of(role.arn) if role else TRUE
            granted = [identity_allows(request, _statements(model, f"{name} identity")) for model in self._models]
            who = f"sessions of {name}" if role else f"whoever has {name}"
            invokes = FALSE
            if any(role == model.executor for model in self._models):
                below = request.resource.like(*(f"{model.api_arn}/*" for model in self._models))
                invokes = all_of(request.action.like("execute-api:invoke"), below)
                on_route = (is_call_of(model, request, route) for model in self._models for route in model.routes)
                beyond = all_of(is_it, invokes, z3.Not(any_of(*on_route)))
                yield _Question(
                    request,
                    tuple(all_of(beyond, grant) for grant in granted),
                    what="calls for which there is no route yet",
                    identity=f"{name} identity",
                    who=who,
                )
            yield _Question(
                request,
                tuple(all_of(is_it, z3.Not(invokes), grant) for grant in granted),
                what="{action} on {resource}",
                identity=f"{name} identity",
                by_action=True,
                who=who,
            )

    def _resources(self) -> Iterator[_Question]:
        """Access by the policies of functions, queues, topics and keys."""
        for name in self._names("resource"):
            is_there = [bool(model.arn(name)) for model in self._models]
            # A removed resource gives no access; access to a new one from its own account is no gain.
            if name in {model.api for model in self._models} or is_there == [True, False]:
                continue
            arn = self._arn(name)
            service = arn.split(":")[2]
            for kind in Kind if service not in _SIGNED else [kind for kind in Kind if kind is not Kind.ANONYMOUS]:
                request = self._request(kind)
                # Added and removed routes are compared by `_calls`.
                source = request.key("aws:SourceArn")
                of_route = all_of(source.present, source.like(*self._sources_of_changed_routes()))
                on_it = all_of(request.resource.equals(arn), request.action.like(f"{service}:*"), z3.Not(of_route))
                if not is_there[0]:
                    on_it = all_of(on_it, z3.Not(request.is_of(self._owner(name))))
                yield _Question(
                    request,
                    tuple(all_of(on_it, self._allowed(model, request, name, "resource")) for model in self._models),
                    what=f"{{action}} on {name}",
                    policy=f"{name} resource",
                    by_action=True,
                )

    def _allowed(self, model: Model, request: Request, name: str, document: str) -> Any:
        """Whether a trust or resource policy allows a request; the executor is limited to its own policy."""
        _, identity = as_deployed(model, request, [model.executor])
        needed = document == "trust" or self._arn(name).startswith("arn:aws:kms:")
        policy = _statements(model, f"{name} {document}")
        return allowed(request, policy, owner=self._owner(name), identity=identity, trust=needed)

    def _sources_of_changed_routes(self) -> list[str]:
        base, head = ({str(route): method_arn(model, route) for route in model.routes} for model in self._models)
        changed = [(base | head)[name] for name in base.keys() ^ head.keys()]
        return [re.sub(r"/[^/]+/", "/*/", arn, count=1) for arn in changed]

    def _answer(self, question: _Question) -> Iterator[Change]:
        before, after = question.decisions
        preferred = all_of(question.preferred, self._is_stranger(question))
        for gained, formula in ((True, all_of(after, z3.Not(before))), (False, all_of(before, z3.Not(after)))):
            remaining = formula
            for _ in range(_MOST):
                found = solve(question.request, all_of(remaining, preferred))
                if found is None:
                    found = solve(question.request, remaining)
                if found is None:
                    break
                case = question.request.witness(found, self._actions, self._arns)
                remaining = all_of(remaining, z3.Not(self._alike(question, case, found)))
                yield self._change(question, case, gained=gained)

    def _is_stranger(self, question: _Question) -> Any:
        """Whether the principal is none of the stacks' roles, which have fewer rights than their account can give."""
        others = [arn for arn in self._roles if not question.identity and arn not in self._executors]
        return z3.Not(any_of(*map(question.request.is_session_of, others)))

    def _alike(self, question: _Question, case: Case, found: Any) -> Any:
        """Whether a request belongs to the same line of the result: same kind of caller, same kind of resource."""
        request = question.request
        alike = [request.action.resembles(found), request.resource.resembles(found)] if question.by_action else []
        if request.kind is Kind.SERVICE:
            alike.append(request.service.resembles(found))
        elif case.principal.arn in self._executors:
            alike.append(request.is_session_of(case.principal.arn))
        elif self._is_another_executor(case):
            alike.append(any_of(*map(request.is_of_role, self._more_roles)))
        elif request.is_iam:
            known = {account for accounts in self._accounts.values() for account in accounts}
            same = next((ids for ids in self._accounts.values() if case.principal.account in ids), None)
            alike.append(request.is_of(*same) if same else z3.Not(request.is_of(*known)))
            executors = [*map(request.is_session_of, self._executors), *map(request.is_of_role, self._more_roles)]
            alike.append(z3.Not(any_of(*executors)))
        return all_of(*alike)

    def _change(self, question: _Question, case: Case, *, gained: bool) -> Change:
        (old, before), (new, after) = (self._decide(question, case, model) for model in self._models)
        if (before.allowed, after.allowed) != (not gained, gained):
            raise AssertionError(f"solver and decision disagree on {case}: {before}, {after}")
        allowing, refusing = (after, before) if gained else (before, after)
        decisive = [label for label, entry in allowing.statements.items() if entry != refusing.statements.get(label)]
        decisive = list(refusing.statements) or decisive
        return Change(
            gained=gained,
            who=question.who or self._who(case),
            what=question.what.replace("{action}", case.action).replace("{resource}", case.resource),
            witness=new if gained else old,
            before=before.reason,
            after=after.reason,
            decided_by=tuple(label for label in decisive if not label.startswith(ANYTHING)),
        )

    def _decide(self, question: _Question, case: Case, model: Model) -> tuple[Case, Decision]:
        """Decide a witness, with the relevant policies filled in."""
        policy = f"{model.api} resource" if question.route else question.policy
        identity = question.identity or self._identity_of(model, case)
        filled = replace(case, policy=policy, identity=(identity,) if identity else ())
        if question.route:
            route = next((route for route in model.routes if str(route) == question.route), None)
            if not route:
                return filled, Decision(False, "There is no such route.", {})
            if case.principal.type == "Anonymous" and route.authorizer == "AWS_IAM":
                return filled, Decision(False, "The route needs a signature.", {})
        return filled, decide(filled, {name: document([]) for name in (policy, identity)} | documents_of(model))

    def _identity_of(self, model: Model, case: Case) -> str:
        """Return the policy of a principal: the executor's, or else anything that its account allows."""
        if not case.principal.account:
            return ""
        return f"{model.executor.name} identity" if case.principal.arn == model.executor.arn else ANYTHING

    def _who(self, case: Case) -> str:
        principal = case.principal
        if principal.arn in self._executors:
            return f"sessions of {self._executors[principal.arn]}"
        if self._is_another_executor(case):
            return "sessions of the roles in MoreExecutorRoleIds"
        of = (name for name, accounts in self._accounts.items() if principal.account in accounts)
        account = next(of, "any other account")
        match principal.type:
            case "":
                return f"the service {principal.arn}" if principal.arn in self._services else "any service"
            case "Anonymous":
                return "anyone, unsigned"
            case "AssumedRole":
                return f"roles of {account}"
            case "User":
                return f"IAM users of {account}"
            case "Account":
                return f"the root user of {account}"
        return f"federated users of {account}"

    def _is_another_executor(self, case: Case) -> bool:
        return case.principal.user_id.partition(":")[0] in self._more_roles

    def _request(self, kind: Kind) -> Request:
        return Request(kind, {arn: role.role_id for arn, role in self._roles.items()})

    def _names(self, kind: str) -> list[str]:
        """Return the resources whose document of that kind has changed."""
        return sorted(key.removesuffix(f" {kind}") for key in self._changed if key.endswith(f" {kind}"))

    def _arn(self, name: str) -> str:
        return next(arn for model in self._models if (arn := model.arn(name)))

    def _owner(self, name: str) -> str:
        return self._arn(name).split(":")[4]


def _call_policies(model: Model) -> Any:
    """Return everything that decides on calls."""
    routes = {(route.method, route.path, route.authorizer) for route in model.routes}
    executor = model.executor
    documents = model[f"{model.api} resource"], model[f"{executor.name} identity"]
    return routes, executor.arn, executor.role_id, model.api_arn, model.stage, documents


def _call(model: Model, request: Request, name: str) -> Any:
    """Whether a request is an allowed call of a route, as a formula."""
    route = next((route for route in model.routes if str(route) == name), None)
    if not route or (request.kind is Kind.ANONYMOUS and route.authorizer == "AWS_IAM"):
        return FALSE
    on_api, decision = api_calls(model, request)
    return all_of(on_api, is_call_of(model, request, route), decision)


def _unguarded(model: Model) -> set[str]:
    unsigned = {
        f"{route} with the authorizer {route.authorizer} instead of AWS_IAM"
        for route in model.routes
        if route.authorizer != "AWS_IAM"
    }
    return unsigned | set(other_ways_in(model))


def _statements(model: Model, name: str) -> list[Any]:
    return statements(model, name) if name in model.documents else []


def documents_of(model: Model) -> dict[str, Document]:
    """Return the policies that a witness may name."""
    allow = {"Sid": "Allow", "Effect": "Allow", "Action": "*", "Resource": "*"}
    return {**model.documents, ANYTHING: document([allow])}
