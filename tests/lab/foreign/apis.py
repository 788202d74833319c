"""APIs that account A already has, and the stacks that give two consumers different rights on them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from cross_account_lab import workarounds
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_C, ACCOUNT_IDS, REGION
from cross_account_lab.iam import credentials
from cross_account_lab.lab import Lab
from tests.support.stacks import change, create

FOLDER = Path(__file__).parent
NO_SESSION = "no session"
_ROLE = {"RoleArn": "ExecutorRoleArn", "ExternalId": "ExternalId"}


@dataclass(frozen=True)
class Api:
    """An existing API.

    Attributes:
        url: Its base URL in the lab, without a stage if that is `$default`.
        routes: Its routes, with a value for the parameter.
    """

    id: str
    url: str
    stage: str
    routes: tuple[str, ...]

    def arns(self, *methods: str) -> list[str]:
        """ARNs of methods, given as `GET/orders/*`."""
        prefix = f"arn:aws:execute-api:{REGION}:{ACCOUNT_IDS[ACCOUNT_A]}:{self.id}/{self.stage}/"
        return [f"{prefix}{method}" for method in methods]


@dataclass
class Foreign:
    """A lab with a REST API and an HTTP API of account A's own, and an access stack for each of two consumers.

    Attributes:
        access: Outputs of the access stacks, by the consumer's account.
        users: A user of each consumer account whose own policy allows everything.
        workload: A role session of account B with the same policy.
    """

    lab: Lab
    rest: Api
    http: Api
    access: dict[str, dict[str, str]] = field(default_factory=dict)
    admin: Credentials = field(init=False)
    users: dict[str, Credentials] = field(init=False)
    workload: Credentials = field(init=False)

    def __post_init__(self) -> None:
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        self.admin = self.lab.user(ACCOUNT_A, "admin", everything)
        self.users = {account: self.lab.user(account, "ann", everything) for account in (ACCOUNT_B, ACCOUNT_C)}
        self.workload = self.lab.role(ACCOUNT_B, "workload", everything)

    @classmethod
    def deploy(cls, lab: Lab) -> Self:
        """Deploy everything."""
        foreign = cls(
            lab,
            _deploy_api(lab, "rest-api", "prod", "products"),
            _deploy_api(lab, "http-api", "$default", "items"),
        )
        rest, http = foreign.rest, foreign.http
        foreign._grant(ACCOUNT_B, rest.arns("GET/products", "GET/products/*") + http.arns("GET/items", "GET/items/*"))
        foreign._grant(ACCOUNT_C, rest.arns("POST/products", "PUT/products/*") + http.arns("POST/items", "PUT/items/*"))
        foreign.guard()
        return foreign

    def _grant(self, account: str, methods: Sequence[str]) -> None:
        template = (self.lab.sam.folder / "template-access.yaml").read_text()
        asked = {
            "GrantedMethodArns": ",".join(methods),
            "ConsumerAccountIds": ACCOUNT_IDS[account],
            "ExternalId": f"external-id-of-{account}",
        }
        session, name = self.lab.session(ACCOUNT_A), f"access-{account}"
        self.access[account] = create(session, name, template, workarounds.completed(asked))

    def suspend(self, account: str, *, ids: str) -> None:
        """Suspend the accounts with these ids in a consumer's access stack."""
        change(self.lab.session(ACCOUNT_A), f"access-{account}", {"SuspendedConsumerIds": ids})

    def guard(self) -> None:
        """Put the guard into the REST API's policy, the ids of both roles in one list, and redeploy the stage."""
        guards = [json.loads(outputs["GuardStatement"]) for outputs in self.access.values()]
        user_ids = [pattern for guard in guards for pattern in guard["Condition"]["StringNotLike"]["aws:userid"]]
        guards[0]["Condition"]["StringNotLike"]["aws:userid"] = user_ids
        policy = json.dumps({"Version": "2012-10-17", "Statement": [guards[0]]})
        client = self.lab.session(ACCOUNT_A).client("apigateway")
        client.update_rest_api(
            restApiId=self.rest.id, patchOperations=[{"op": "replace", "path": "/policy", "value": policy}]
        )
        client.create_deployment(restApiId=self.rest.id, stageName=self.rest.stage)

    def assume(self, who: Credentials, access: str, **options: Any) -> Credentials:
        """Assume the role of an access stack; for a consumer's, in a session named after that account."""
        given = {name: self.access[access][output] for name, output in _ROLE.items()}
        given["RoleSessionName"] = f"{ACCOUNT_IDS.get(access)}-ann"
        return credentials(self.lab.session(who).client("sts").assume_role(**{**given, **options}))

    def call(self, api: Api, route: str, who: Credentials | None) -> requests.Response:
        """Call a route, signed by botocore."""
        method, path = route.split()
        request = AWSRequest(method, api.url + path, {}, b"{}" if method in {"POST", "PUT"} else None)
        if who:
            SigV4Auth(who, "execute-api", REGION).add_auth(request)
        return self.lab.send(request)

    def attempts(self) -> dict[str, Callable[[], Credentials | None]]:
        """All callers, each with a function that returns the credentials to sign with."""
        user_b, user_c = self.users[ACCOUNT_B], self.users[ACCOUNT_C]
        session = self.assume(user_b, ACCOUNT_B)
        as_c = {"RoleSessionName": f"{ACCOUNT_IDS[ACCOUNT_C]}-ann"}
        return {
            "workload of B": lambda: self.assume(self.workload, ACCOUNT_B),
            "user of B": lambda: session,
            "user of C": lambda: self.assume(user_c, ACCOUNT_C),
            "user of B in C's role": lambda: self.assume(user_b, ACCOUNT_C),
            "user of C in B's role": lambda: self.assume(user_c, ACCOUNT_B),
            "user of B as C": lambda: self.assume(user_b, ACCOUNT_B, **as_c),
            "user of B, external id of C": lambda: self.assume(
                user_b, ACCOUNT_B, ExternalId=self.access[ACCOUNT_C]["ExternalId"]
            ),
            "user of B without a role": lambda: user_b,
            "unsigned": lambda: None,
            "admin of A in B's role": lambda: self.assume(self.admin, ACCOUNT_B),
            "admin of A": lambda: self.admin,
        }

    def matrix(self, api: Api) -> str:
        """The outcome for every caller on every route, as a table."""
        rows = {name: self._outcomes(api, attempt) for name, attempt in self.attempts().items()}
        widths = [29, *(max(len(route), len(NO_SESSION)) + 2 for route in api.routes)]
        return "".join(
            "".join(f"{cell:{width}}" for cell, width in zip((name, *cells), widths, strict=True)).rstrip() + "\n"
            for name, cells in {"": api.routes, **rows}.items()
        )

    def _outcomes(self, api: Api, attempt: Callable[[], Credentials | None]) -> Sequence[str]:
        try:
            who = attempt()
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            return [NO_SESSION] * len(api.routes)
        return [str(self.call(api, route, who).status_code) for route in api.routes]


def _deploy_api(lab: Lab, stack_name: str, stage: str, collection: str) -> Api:
    template = (FOLDER / f"{stack_name}.yaml").read_text()
    api_id = create(lab.session(ACCOUNT_A), stack_name, template)["ApiId"]
    url = f"{lab.endpoint}/_aws/execute-api/{api_id}" + ("" if stage == "$default" else f"/{stage}")
    one = f"/{collection}/7"
    return Api(
        api_id, url, stage, (f"GET /{collection}", f"GET {one}", f"POST /{collection}", f"PUT {one}", f"DELETE {one}")
    )
