"""Witnesses as real requests: what the comparison of two revisions names is sent to the emulator, before and after.

A changed document is put where it belongs by the call with which an administrator would put it (IAM, API Gateway, SQS),
rather than by a deployment for each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from botocore.auth import SigV4Auth
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from access.diff import ANYTHING, Change, documents_of
from access.documents import Document, document
from access.engine.case import Case, Principal
from access.matrix import root
from access.model import Model
from lab.accounts import ACCOUNT_A, REGION
from lab.iam import credentials
from lab.lab import Lab
from tests.access import oracles
from tests.access.mutations import Fault

_ASSUME = {"sts:AssumeRole", "sts:TagSession"}
_MFA = "aws:MultiFactorAuthPresent"
# The unique id of whoever is made here: no one chooses it.
_NEW_ID = "AZZZZZZZZZZZZZZZZZZZZ"
_EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}

type Named = Callable[[Any, str], dict[str, str]]


def _queue(client: Any, arn: str) -> dict[str, str]:
    *_, account, name = arn.split(":")
    return {"QueueUrl": f"{client.meta.endpoint_url}/{account}/{name}"}


def _table(_: Any, arn: str) -> dict[str, str]:
    return {"TableName": arn.rpartition("/")[2]}


def _function(_: Any, arn: str) -> dict[str, str]:
    return {"FunctionName": arn}


_KEY = {"account_id": {"S": "1"}, "key": {"S": "1"}}
# How an action is asked for: operation, how it names the resource, and what else it needs.
_CALLS: dict[str, tuple[str, Named, dict[str, Any]]] = {
    "dynamodb:DeleteItem": ("delete_item", _table, {"Key": _KEY}),
    "dynamodb:GetItem": ("get_item", _table, {"Key": _KEY}),
    "dynamodb:PutItem": ("put_item", _table, {"Item": _KEY}),
    "dynamodb:Scan": ("scan", _table, {}),
    "lambda:InvokeFunction": ("invoke", _function, {"InvocationType": "DryRun"}),
    "sqs:DeleteMessage": ("delete_message", _queue, {"ReceiptHandle": "none"}),
    "sqs:GetQueueAttributes": ("get_queue_attributes", _queue, {}),
    "sqs:PurgeQueue": ("purge_queue", _queue, {}),
    "sqs:ReceiveMessage": ("receive_message", _queue, {}),
    # Nobody receives it before the queues are emptied.
    "sqs:SendMessage": ("send_message", _queue, {"MessageBody": "a", "DelaySeconds": 900}),
}
# The resources that such a call can name.
_RESOURCES = {
    "dynamodb": rf"arn:aws:dynamodb:{REGION}:[0-9]{{12}}:table/[\w.-]+",
    "lambda": rf"arn:aws:lambda:{REGION}:[0-9]{{12}}:function:[\w-]+",
    "sqs": rf"arn:aws:sqs:{REGION}:[0-9]{{12}}:[\w-]+",
}


class NotExpressibleError(Exception):
    """A witness that cannot be sent to the emulator; says why."""


class Emulator:
    """A lab that is asked what policies decide."""

    def __init__(self, lab: Lab, model: Model, more_executor: str) -> None:
        """Set up.

        Args:
            lab: The lab.
            model: What is deployed in it.
            more_executor: ARN of the role whose id `MoreExecutorRoleIds` has, if it has one.
        """
        self.model = model
        self._lab = lab
        self._more_executor = more_executor
        self._session = lab.session(ACCOUNT_A)
        self._known: dict[tuple[str, str], Credentials] = {}
        self._clients: dict[tuple[str, str], Any] = {}

    # --- From a witness to a request ----------------------------------------------------------------------------------

    def request_of(self, change: Change, fault: Fault) -> Case:
        """Return the request to send for a change.

        It is the witness without what the emulator cannot carry; both revisions must decide it as the witness.

        Raises:
            NotExpressibleError: There is none.
        """
        case = change.witness
        assert case
        for reason in self._obstacles(change, case, fault):
            raise NotExpressibleError(reason)
        sent = self._completed(case)
        for here in (False, True):
            decisions = [_decide(sent, model, here=here) for model in (self.model, fault.model)]
            if decisions != [not change.gained, change.gained]:
                reason = "the emulator's own rules decide" if here else "the real request needs more than this"
                raise NotExpressibleError("MFA" if case.context.get(_MFA) == "true" else reason)
        return sent

    def _obstacles(self, change: Change, case: Case, fault: Fault) -> Iterator[str]:
        principal, action = case.principal, case.action
        if principal.type not in {"User", "AssumedRole", "FederatedUser"}:
            yield "a root user" if principal.type == "Account" else "a service, or no signature"
        if action not in {*_ASSUME, *_CALLS, "execute-api:Invoke"}:
            yield f"no operation for {action if action.startswith('sts:Set') else action.partition(':')[0]}"
        if case.context.get("aws:SecureTransport") == "false":
            yield "no TLS"
        if action == "execute-api:Invoke":
            yield from self._obstacles_of_call(change, case)
        elif action in _ASSUME:
            if case.resource not in {role.arn for role in self.model.roles}:
                yield "a role that does not exist"
        elif not re.fullmatch(_RESOURCES[action.partition(":")[0]], case.resource):
            yield "a resource that no call can name"
        yield from self._obstacles_of_document(fault)

    def _obstacles_of_call(self, change: Change, case: Case) -> Iterator[str]:
        if case.principal.account != self.model.accounts()[0]:
            yield "a direct call from another account"
        if change.what not in map(str, self.model.routes):
            yield "a path without a route"
        if not re.fullmatch(r"[\w./-]+", case.resource.split(":", 5)[5]):
            yield "a path that has to be encoded"

    def _obstacles_of_document(self, fault: Fault) -> Iterator[str]:
        changed, (name, _, kind) = fault.model[fault.document], fault.document.partition(" ")
        if "NotPrincipal" in str(changed):
            yield "NotPrincipal"
        if not changed["Statement"]:
            yield "a document without statements"
        if kind == "resource" and name != self.model.api:
            arn = self.model.arn(name)
            undo = Case(root(arn.split(":")[4]), "sqs:SetQueueAttributes", arn, (ANYTHING,), fault.document)
            if ":sqs:" not in arn:
                yield "a function's policy, which no call sets as a whole"
            elif not _decide(replace(undo, context={"aws:SecureTransport": "true"}), fault.model, here=False):
                yield "a queue's policy that its account could not take back"

    def _completed(self, case: Case) -> Case:
        """Leave out what the emulator does not know; add what the operation needs besides."""
        principal = case.principal
        if principal.user_id.partition(":")[0] in self.model.intent.more_role_ids:
            principal = replace(principal, arn=self._more_executor)
        elif principal.arn not in {role.arn for role in self.model.roles}:
            principal = replace(principal, user_id=f"{_NEW_ID}:{principal.session}".removesuffix(":"))
        context = {name: value for name, value in case.context.items() if name != _MFA}
        if case.action in _ASSUME:
            external_id, session = self.model.intent.external_ids[0], f"{principal.account}-job"
            right = {"sts:ExternalId": external_id, "sts:RoleSessionName": session}
            # A question about the trust policy says with what the role is assumed, unless it is about tags.
            is_said = case.policy and case.action == "sts:AssumeRole"
            context = {"sts:RoleSessionName": session} | context if is_said else context | right
            (role,) = (role for role in self.model.roles if role.arn == case.resource)
            case = replace(case, policy=f"{role.name} trust")
        return replace(case, principal=principal, context=context)

    # --- Requests -----------------------------------------------------------------------------------------------------

    def allows(self, case: Case) -> bool:
        """Send a request and say whether it was allowed."""
        who = self._credentials(case)
        try:
            if case.action == "execute-api:Invoke":
                return self._call(case, who)
            client = self._client(who, case.action.partition(":")[0])
            if case.action in _ASSUME:
                external_id = case.context.get("sts:ExternalId")
                client.assume_role(
                    RoleArn=case.resource,
                    RoleSessionName=case.context["sts:RoleSessionName"],
                    **({"ExternalId": external_id} if external_id else {}),
                    **({"Tags": [{"Key": "a", "Value": "b"}]} if case.action == "sts:TagSession" else {}),
                )
            else:
                operation, resource, others = _CALLS[case.action]
                getattr(client, operation)(**resource(client, case.resource), **others)
        except ClientError as error:
            return "AccessDenied" not in error.response["Error"]["Code"]
        return True

    def _call(self, case: Case, who: Credentials) -> bool:
        _, stage, method, path = case.resource.split(":", 5)[5].split("/", 3)
        request = self._lab.signed(method, "", None)
        request.url = f"{self._lab.api_url.rpartition('/')[0]}/{stage}/{path}"
        SigV4Auth(who, "execute-api", REGION).add_auth(request)
        return "AccessDenied" not in self._lab.send(request).headers.get("x-amzn-errortype", "")

    def _credentials(self, case: Case) -> Credentials:
        principal, policy_arn = case.principal, ""
        if principal.type == "User" and case.identity != (ANYTHING,):
            # Whoever has one of the stacks' policies for people.
            policy_arn = self.model.arn(case.identity[0].removesuffix(" identity"))
            principal = replace(principal, arn=f"arn:aws:iam::{policy_arn.split(':')[4]}:user/has-policy")
        key = principal.arn, principal.session
        if key not in self._known:
            if principal.type == "FederatedUser":
                self._known[key] = self._federated(principal)
                return self._known[key]
            exists = principal.arn in {self._more_executor, *(role.arn for role in self.model.roles)}
            self._known[key] = self._session_of(principal) if exists else self._new(principal, policy_arn)
        return self._known[key]

    def _federated(self, principal: Principal) -> Credentials:
        """Return a session of a federated user, to whom a user hands on all that he may do."""
        arn = f"arn:aws:iam::{principal.account}:user/federator"
        case = Case(replace(principal, arn=arn, type="User", session=""), "", "", (ANYTHING,))
        sts = self._client(self._credentials(case), "sts")
        everything = json.dumps(document([_EVERYTHING]))
        return credentials(sts.get_federation_token(Name=principal.session, Policy=everything))

    def _session_of(self, principal: Principal) -> Credentials:
        """Return a session of a role that exists, which trusts its own account for that long."""
        iam, name = self._root(principal.account, "iam"), principal.arn.rpartition("/")[2]
        trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(_trusting(principal.account)))
        try:
            sts = self._root(principal.account, "sts")
            return credentials(sts.assume_role(RoleArn=principal.arn, RoleSessionName=principal.session))
        finally:
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))

    def _new(self, principal: Principal, policy_arn: str) -> Credentials:
        """Make a user, or a role and a session of it, who may do everything, or what a policy says."""
        iam = self._root(principal.account, "iam")
        path, _, name = principal.arn.partition("/")[2].rpartition("/")
        where, everything = {"Path": f"/{path}/" if path else "/"}, json.dumps(document([_EVERYTHING]))
        if principal.type == "AssumedRole":
            trust = json.dumps(_trusting(principal.account))
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust, **where)
            iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=everything)
            return self._session_of(principal)
        iam.create_user(UserName=name, **where)
        if policy_arn:
            iam.attach_user_policy(UserName=name, PolicyArn=policy_arn)
        else:
            iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=everything)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def _root(self, account: str, service: str) -> Any:
        """Return a client of an account's root user: the emulator takes the id as its access key."""
        return self._client(Credentials(account, "test"), service)

    def _client(self, who: Credentials, service: Any) -> Any:
        if (who.access_key, service) not in self._clients:
            self._clients[who.access_key, service] = self._session.client(
                service,
                aws_access_key_id=who.access_key,
                aws_secret_access_key=who.secret_key,
                aws_session_token=who.token,
                # What no client would send must be refused by the policy, not by botocore.
                config=Config(parameter_validation=False),
            )
        return self._clients[who.access_key, service]

    # --- Policies -----------------------------------------------------------------------------------------------------

    @contextmanager
    def holding(self, fault: Fault) -> Iterator[None]:
        """Let a changed policy document be in force for the block."""
        put = self._putter(fault.document)
        put(json.dumps(fault.model[fault.document]))
        try:
            yield
        finally:
            put("")

    def _putter(self, name: str) -> Callable[[str], object]:
        """Return what sets a text as a document, and for an empty one the deployed document again."""
        resource, _, kind = name.partition(" ")
        arn = self.model.api_arn if resource == self.model.api else self.model.arn(resource)
        account, own = arn.split(":")[4], arn.rpartition("/")[2]
        iam, deployed = self._root(account, "iam"), json.dumps(self.model[name])
        if kind == "trust":
            return lambda text: iam.update_assume_role_policy(RoleName=own, PolicyDocument=text or deployed)
        if kind == "identity" and ":policy/" in arn:
            return lambda text: _put_managed(iam, arn, text or deployed)
        if kind == "identity":
            inline = {
                policy: json.dumps(iam.get_role_policy(RoleName=own, PolicyName=policy)["PolicyDocument"])
                for policy in iam.list_role_policies(RoleName=own)["PolicyNames"]
            }
            return partial(_put_inline, iam, own, inline)
        if ":sqs:" in arn:
            sqs = self._root(account, "sqs")
            url = _queue(sqs, arn)
            return lambda text: sqs.set_queue_attributes(**url, Attributes={"Policy": text or deployed})
        api = self._root(account, "apigateway")
        return lambda text: _put_api(api, arn.rpartition(":")[2], self.model.stage, text or deployed)


def _put_managed(iam: Any, arn: str, text: str) -> None:
    # A policy has at most five versions, and the emulator cannot make an older one the default again.
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)


def _put_inline(iam: Any, role: str, deployed: dict[str, str], text: str) -> None:
    """Replace all inline policies of a role by one, or that one by those deployed."""
    changed = {"changed": text}
    for name in deployed if text else changed:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    for name, policy in (changed if text else deployed).items():
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=policy)


def _put_api(api: Any, api_id: str, stage: str, text: str) -> None:
    api.update_rest_api(restApiId=api_id, patchOperations=[{"op": "replace", "path": "/policy", "value": text}])
    api.create_deployment(restApiId=api_id, stageName=stage)


def _trusting(account: str) -> Document:
    return document([{"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}])


def _decide(case: Case, model: Model, *, here: bool) -> bool | None:
    """Let an oracle decide, as AWS does or as the emulator.

    To the emulator, a session's ARN is its `aws:PrincipalArn`, no trust policy replaces a permission of one's own, and
    sending tags needs none.
    """
    if here:
        case = replace(case, context={**case.context, "aws:PrincipalArn": case.principal.session_arn})
    needed = [case]
    if case.action == "sts:TagSession":
        needed = [replace(case, identity=(ANYTHING,)) if here else case, replace(case, action="sts:AssumeRole")]
    if here and case.policy.endswith(" trust"):
        needed += [replace(each, policy="") for each in needed]
    everything = documents_of(model)
    documents = {name: everything[name] for name in (*case.identity, case.policy, ANYTHING) if name}
    decisions = oracles.reach(needed, documents)
    return None if None in decisions else all(decisions)
