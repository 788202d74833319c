"""Both accounts on this machine: the real stacks, deployed by the real SAM CLI into the emulator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from lab import workarounds
from lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_IDS, REGION, environment, session, write_accounts, write_profile
from lab.emulator import CA_FILE, emulator
from lab.sam import Sam

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sts.type_defs import AssumeRoleResponseTypeDef

STACK_NAMES = {ACCOUNT_A: "orders-api", ACCOUNT_B: "orders-caller"}
EXTERNAL_ID = "lab-external-id"
PERSON = "my-user"
PERSON_PROFILE = "orders"

type Statement = Mapping[str, Any]
type Step = Callable[[str], AbstractContextManager[None]]


@dataclass
class Lab:
    """A local AWS with account A's and account B's stack, and account C for strangers.

    Attributes:
        folder: The lab's private folder.
        endpoint: URL of the emulator.
        config_file: AWS configuration with the profiles `account-a`, `account-b` and `account-c` (administrators),
            `my-user`, and `orders`, which is `my-user` in the executor role.
        ca_file: Certificate authority by which the endpoint is to be trusted.
        environment: Environment variables that lead any AWS tool to the lab, and to nothing else.
        sam: SAM CLI, set up for this lab.
        person: Access key of `my-user`, the IAM user of account B to whom its stack gives access.
        outputs: Outputs of each deployed stack, by the account's name.
    """

    folder: Path
    endpoint: str
    config_file: Path = field(init=False)
    ca_file: Path = field(init=False)
    environment: dict[str, str] = field(init=False)
    sam: Sam = field(init=False)
    person: Credentials = field(init=False)
    outputs: dict[str, dict[str, str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.config_file = self.folder / "aws-config"
        self.ca_file = self.folder / CA_FILE
        write_accounts(self.config_file, self.endpoint, self.ca_file)
        self.environment = environment(self.config_file, self.ca_file)
        self.sam = Sam(self.folder / "sam", self.environment)
        self.person = self.user(ACCOUNT_B, PERSON)

    @classmethod
    @contextmanager
    def start(
        cls, *, deployed: bool = True, step: Step = lambda _: nullcontext(), **emulator_options: Any
    ) -> Iterator[Self]:
        """Start a lab, and stop it at the end of the block, leaving no process and no file behind.

        Args:
            deployed: Whether to deploy both stacks; else they are only built, ready for `deploy`.
            step: Makes a context manager around each step, from a description of it.
            **emulator_options: Options of `lab.emulator.emulator`.

        Yields:
            The lab.

        Raises:
            EmulatorError: The emulator did not start.
            SamError: A stack could not be built or deployed.
        """
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="lab-")))
            with step("start the emulator"):
                endpoint = stack.enter_context(emulator(folder, api_account=ACCOUNT_IDS[ACCOUNT_A], **emulator_options))
            lab = cls(folder, endpoint)
            with step("sam build --config-env account-a · account-b"):
                lab.sam.build(STACK_NAMES)
            if deployed:
                for account in STACK_NAMES:
                    with step(f"sam deploy --config-env {account}"):
                        lab.deploy(account)
            yield lab

    @property
    def api_url(self) -> str:
        """Base URL of the API, stage included."""
        return workarounds.api_url(self.endpoint, self.outputs[ACCOUNT_A])

    def deploy(self, account: str, **parameters: str) -> None:
        """Create or update an account's stack with `sam deploy`, as on AWS.

        Args:
            account: `account-a` or `account-b`, which needs the outputs of the former.
            **parameters: Template parameters beside the lab's own, or instead of them.

        Raises:
            SamError: The deployment failed.
        """
        given = self._provider_parameters() if account == ACCOUNT_A else self._consumer_parameters()
        overrides = [_override(name, value) for name, value in (given | parameters).items()]
        self.sam.run("deploy", account, "--parameter-overrides", *overrides)
        self.outputs[account] = self._read_outputs(account)
        if account == ACCOUNT_A:
            self._write_person_profiles()
        else:
            workarounds.complete_consumer(self.session(ACCOUNT_B), self.outputs[ACCOUNT_B])

    def session(self, who: str | Credentials) -> boto3.Session:
        """Make a boto3 session in this lab.

        Args:
            who: A profile of `config_file`, or the credentials of a user or a role session.

        Returns:
            The session.
        """
        return session(self.config_file, who)

    def user(self, account: str, name: str, *statements: Statement) -> Credentials:
        """Create an IAM user with an access key.

        Args:
            account: Its account.
            name: Its name.
            *statements: Statements of its policy; without any it may do nothing.

        Returns:
            The access key.
        """
        iam = self.session(account).client("iam")
        iam.create_user(UserName=name)
        if statements:
            iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=_policy(*statements))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def role(self, account: str, name: str, *statements: Statement) -> Credentials:
        """Create an IAM role and assume it, as a workload has it.

        Args:
            account: Its account.
            name: Its name.
            *statements: Statements of its policy.

        Returns:
            A session of the role.
        """
        session = self.session(account)
        iam = session.client("iam")
        trust = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT_IDS[account]}, "Action": "sts:AssumeRole"}
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))["Role"]
        iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=_policy(*statements))
        return credentials(session.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName=name))

    def may_assume_executor(self) -> Statement:
        """Return the statement by which a principal's own account lets it assume the executor role."""
        return {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": self.outputs[ACCOUNT_A]["ExecutorRoleArn"]}

    def assume_executor(
        self, who: Credentials, session_name: str, *, external_id: str = EXTERNAL_ID, seconds: int = 3600
    ) -> Credentials:
        """Assume account A's executor role.

        Args:
            who: Who assumes it.
            session_name: Name of the session.
            external_id: The external id to show.
            seconds: How long the session lasts; the emulator, unlike AWS, accepts less than 900.

        Returns:
            The session's credentials.

        Raises:
            botocore.exceptions.ClientError: The role's trust policy or the caller's own policy refuses.
        """
        sts = self.session(who).client("sts", config=Config(parameter_validation=False))
        return credentials(
            sts.assume_role(
                RoleArn=self.outputs[ACCOUNT_A]["ExecutorRoleArn"],
                RoleSessionName=session_name,
                ExternalId=external_id,
                DurationSeconds=seconds,
            )
        )

    def signed(
        self,
        method: str,
        path: str,
        who: Credentials | None,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> AWSRequest:
        """Make a request to the API, signed by botocore, which shares no code with the caller's signer.

        Args:
            method: HTTP method.
            path: Path and query below the stage, encoded as they go over the wire.
            who: Who signs; None leaves it unsigned.
            body: Body, sent as JSON; None for none.
            headers: Headers, signed with the rest.

        Returns:
            The request, for `send`.
        """
        data = None if body is None else json.dumps(body).encode()
        request = AWSRequest(method, self.api_url + path, {**(headers or {})}, data)
        if who:
            SigV4Auth(who, "execute-api", REGION).add_auth(request)
        return request

    def send(self, request: AWSRequest) -> requests.Response:
        """Send a request just as it is.

        Args:
            request: The request.

        Returns:
            The answer.
        """
        with requests.Session() as http:
            http.trust_env = False
            http.verify = str(self.ca_file)
            prepared = requests.Request(request.method, request.url, dict(request.headers), data=request.data).prepare()
            prepared.url = request.url
            return http.send(prepared, allow_redirects=False, timeout=60)

    def request(self, method: str, path: str, who: Credentials | None, **options: Any) -> requests.Response:
        """Sign a request and send it.

        Args:
            method: As in `signed`.
            path: As in `signed`.
            who: As in `signed`.
            **options: As in `signed`.

        Returns:
            The answer.
        """
        return self.send(self.signed(method, path, who, **options))

    def invoke(self, event: Any) -> dict[str, Any]:
        """Invoke CallerFunction, and wait for what it returns.

        Args:
            event: What it is given.

        Returns:
            Its answer; if it failed, Lambda's form of the error with `errorType` and `errorMessage`.
        """
        answer = self._lambda.invoke(
            FunctionName=self.outputs[ACCOUNT_B]["CallerFunctionName"], Payload=json.dumps(event)
        )
        result: dict[str, Any] = json.loads(answer["Payload"].read())
        return result

    @cached_property
    def _lambda(self) -> LambdaClient:
        return self.session(ACCOUNT_B).client("lambda")

    def _provider_parameters(self) -> dict[str, str]:
        return {
            "ConsumerAccountIds": ACCOUNT_IDS[ACCOUNT_B],
            "ExternalId": EXTERNAL_ID,
            **workarounds.provider_parameters([ACCOUNT_B]),
        }

    def _consumer_parameters(self) -> dict[str, str]:
        return {
            "ExecutorRoleArn": self.outputs[ACCOUNT_A]["ExecutorRoleArn"],
            "ExternalId": self.outputs[ACCOUNT_A]["ExternalId"],
            "ApiUserNames": PERSON,
            **workarounds.consumer_parameters(self.api_url),
        }

    def _read_outputs(self, account: str) -> dict[str, str]:
        stacks = self.session(account).client("cloudformation").describe_stacks(StackName=STACK_NAMES[account])
        return {output["OutputKey"]: output["OutputValue"] for output in stacks["Stacks"][0]["Outputs"]}

    def _write_person_profiles(self) -> None:
        write_profile(
            self.config_file,
            PERSON,
            region=REGION,
            endpoint_url=self.endpoint,
            ca_bundle=str(self.ca_file),
            aws_access_key_id=self.person.access_key,
            aws_secret_access_key=self.person.secret_key,
        )
        write_profile(
            self.config_file,
            PERSON_PROFILE,
            region=REGION,
            endpoint_url=self.endpoint,
            ca_bundle=str(self.ca_file),
            source_profile=PERSON,
            role_arn=self.outputs[ACCOUNT_A]["ExecutorRoleArn"],
            external_id=EXTERNAL_ID,
            role_session_name=f"{ACCOUNT_IDS[ACCOUNT_B]}-{PERSON}",
        )


def _override(name: str, value: str) -> str:
    """Quote a parameter as SAM CLI reads it, whatever the value holds."""
    escaped = value.replace('"', '\\"')
    return f'{name}="{escaped}"'


def _policy(*statements: Statement) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def credentials(answer: AssumeRoleResponseTypeDef) -> Credentials:
    """Take the credentials out of what AssumeRole answers.

    Args:
        answer: The answer.

    Returns:
        The session's credentials.
    """
    given = answer["Credentials"]
    return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
