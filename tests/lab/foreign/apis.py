"""APIs that account A already has, and the stack that gives account B rights on them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_IDS, REGION
from cross_account_lab.iam import credentials
from cross_account_lab.lab import Lab
from tests.support.stacks import create, grant

STACK = "rights-of-b"
_EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


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

    @classmethod
    def deploy(cls, lab: Lab, stack_name: str, stage: str, collection: str) -> "Api":
        template = (Path(__file__).parent / f"{stack_name}.yaml").read_text()
        api_id = create(lab.session(ACCOUNT_A), stack_name, template)["ApiId"]
        url = f"{lab.endpoint}/_aws/execute-api/{api_id}" + ("" if stage == "$default" else f"/{stage}")
        all_of, one = f"/{collection}", f"/{collection}/7"
        routes = (f"GET {all_of}", f"GET {one}", f"POST {all_of}", f"PUT {one}", f"DELETE {one}")
        return cls(api_id, url, stage, routes)

    def arns(self, *methods: str) -> list[str]:
        """ARNs of methods, given as `GET/orders/*`."""
        prefix = f"arn:aws:execute-api:{REGION}:{ACCOUNT_IDS[ACCOUNT_A]}:{self.id}/{self.stage}/"
        return [f"{prefix}{method}" for method in methods]


class Foreign:
    """A REST API and an HTTP API of account A's own, and an access stack with which account B may read.

    Attributes:
        access: Outputs of the access stack.
        user: A user of account B whose own policy allows everything.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.rest = Api.deploy(lab, "rest-api", "prod", "products")
        self.http = Api.deploy(lab, "http-api", "$default", "items")
        self.user = lab.user(ACCOUNT_B, "ann", _EVERYTHING)
        methods = self.rest.arns("GET/products", "GET/products/*") + self.http.arns("GET/items", "GET/items/*")
        self.access = grant(lab, STACK, ACCOUNT_B, methods, "external-id-of-b")
        self._guard()

    def _guard(self) -> None:
        """Put the guard into the REST API's policy, and redeploy the stage."""
        policy = json.dumps({"Version": "2012-10-17", "Statement": [json.loads(self.access["GuardStatement"])]})
        client = self.lab.session(ACCOUNT_A).client("apigateway")
        client.update_rest_api(
            restApiId=self.rest.id, patchOperations=[{"op": "replace", "path": "/policy", "value": policy}]
        )
        client.create_deployment(restApiId=self.rest.id, stageName=self.rest.stage)

    def assume(self, who: Credentials, access: Mapping[str, str] = {}, /, **options: Any) -> Credentials:
        """Assume the role of an access stack, by default that of account B's, as its consumer."""
        outputs = access or self.access
        given = {"RoleArn": outputs["ExecutorRoleArn"], "ExternalId": outputs["ExternalId"]}
        given["RoleSessionName"] = f"{ACCOUNT_IDS[ACCOUNT_B]}-ann"
        return credentials(self.lab.session(who).client("sts").assume_role(**given | options))

    def call(self, api: Api, route: str, who: Credentials | None) -> requests.Response:
        """Call a route, signed by botocore."""
        method, path = route.split()
        request = AWSRequest(method, api.url + path, {}, b"{}" if method in {"POST", "PUT"} else None)
        if who:
            SigV4Auth(who, "execute-api", REGION).add_auth(request)
        return self.lab.send(request)
