"""Both accounts on this machine: the real stacks, deployed by the real SAM CLI into the emulator."""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import boto3
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from cross_account_lab import workarounds
from cross_account_lab.accounts import (
    ACCOUNT_A,
    ACCOUNT_B,
    ACCOUNT_IDS,
    REGION,
    environment,
    session,
    write_accounts,
    write_profile,
)
from cross_account_lab.emulator import CA_FILE, emulator
from cross_account_lab.functions import example_path
from cross_account_lab.iam import Statement, credentials, policy, trust_in
from cross_account_lab.sam import Sam, setting, stack_outputs

STACK_NAMES = {account: setting(account, "deploy", "stack_name") for account in (ACCOUNT_A, ACCOUNT_B)}
ACCESS = "access"
USER = "my-user"
USER_PROFILE = "orders"

type Step = Callable[[str], AbstractContextManager[object]]


class Lab:
    """A local AWS in which account A is the provider, account B a consumer, and account C neither by default.

    Attributes:
        external_id: Random, and part of the key under which tools cache sessions, so that no session outlives the lab.
        config_file: AWS configuration with the profiles `account-a`, `account-b` and `account-c` (root users),
            `my-user`, and `orders`, which is `my-user` in the executor role.
        user_key: Access key of `my-user`, the IAM user of account B to whom its stack gives access.
        outputs: Outputs of each deployed stack, by account; of the access stack, by `ACCESS`.
    """

    def __init__(self, folder: Path, endpoint: str, consumers: Sequence[str], step: Step) -> None:
        self.folder = folder
        self.endpoint = endpoint
        self.consumers = consumers
        self.external_id = f"lab-{secrets.token_hex(8)}"
        self.config_file = folder / "aws-config"
        self.ca_file = folder / CA_FILE
        self.environment = environment(self.config_file, self.ca_file)
        self.sam = Sam(folder / "sam", self.environment, endpoint)
        self.outputs: dict[str, dict[str, str]] = {}
        self._step = step
        self._example_path = example_path()
        self._location = {"region": REGION, "endpoint_url": endpoint, "ca_bundle": str(self.ca_file)}
        write_accounts(self.config_file, self._location)
        self._lambda = self.session(ACCOUNT_B).client("lambda")
        self.user_key = self.user(ACCOUNT_B, USER)

    @classmethod
    @contextmanager
    def start(
        cls,
        *,
        deployed: bool = True,
        consumers: Sequence[str] = (ACCOUNT_B,),
        step: Step = nullcontext,
        **emulator_options: Any,
    ) -> Iterator[Self]:
        """Start a lab, and stop it at the end of the block, leaving no process and no file behind.

        The consumers may assume the executor role and get the consumer's stack. The stacks are built in any case.
        """
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="lab-")))
            with step("start the emulator"):
                endpoint = stack.enter_context(emulator(folder, api_account=ACCOUNT_IDS[ACCOUNT_A], **emulator_options))
            lab = cls(folder, endpoint, consumers, step)
            with step(f"sam build --config-env {' · '.join(STACK_NAMES)}"):
                lab.sam.build(STACK_NAMES)
            for account in (ACCOUNT_A, *consumers) if deployed else ():
                lab.deploy(account)
            yield lab

    @property
    def api_url(self) -> str:
        """Base URL of the API, including the stage."""
        return self.outputs[ACCOUNT_A]["ApiUrl"]

    def parameters(self, account: str) -> dict[str, str]:
        """Return the lab's own parameters of an account's stack."""
        if account == ACCOUNT_A:
            consumers = ",".join(ACCOUNT_IDS[consumer] for consumer in self.consumers)
            return workarounds.completed({"ConsumerAccountIds": consumers, "ExternalId": self.external_id})
        outputs = {name: self.outputs[ACCOUNT_A][name] for name in ("ApiUrl", "ExecutorRoleArn", "ExternalId")}
        users = {"ApiUserNames": USER} if account == ACCOUNT_B else {}
        return workarounds.completed(outputs | users | {"CallPath": self._example_path})

    def deploy(self, account: str, **parameters: str) -> None:
        """Create or update an account's stack, as on AWS; `parameters` replace or supplement the lab's own."""
        # Account B's section of samconfig.toml is that of every consumer.
        config_env = ACCOUNT_A if account == ACCOUNT_A else ACCOUNT_B
        with self._step(f"sam deploy --config-env {config_env} --profile {account}"):
            self.sam.deploy(config_env, self.parameters(account) | parameters, "--profile", account)
            self.outputs[account] = stack_outputs(self.session(account), STACK_NAMES[config_env])
            if account == ACCOUNT_A:
                self._write_user_profiles()
            else:
                workarounds.complete_consumer(self.session(account), self.outputs[account])

    def grant(self, account: str, *methods: str) -> None:
        """Give an account a role of its own for some methods of the API, given as `GET/orders`."""
        api = f"{self.outputs[ACCOUNT_A]['ApiId']}/{self.api_url.rpartition('/')[2]}"
        arns = [f"arn:aws:execute-api:{REGION}:{ACCOUNT_IDS[ACCOUNT_A]}:{api}/{method}" for method in methods]
        asked = {"ConsumerAccountIds": ACCOUNT_IDS[account], "GrantedMethodArns": ",".join(arns)}
        with self._step(f"sam deploy --config-env {ACCESS}"):
            self.sam.deploy(ACCESS, workarounds.completed(asked | {"ExternalId": self.external_id}))
            self.outputs[ACCESS] = stack_outputs(self.session(ACCOUNT_A), setting(ACCESS, "deploy", "stack_name"))
        self.deploy(ACCOUNT_A, MoreExecutorRoleIds=self.outputs[ACCESS]["ExecutorRoleId"])

    def session(self, who: str | Credentials) -> boto3.Session:
        """Make a boto3 session for a profile of `config_file`, or for the credentials of a user or a role session."""
        return session(self.config_file, who)

    def user(self, account: str, name: str, *statements: Statement) -> Credentials:
        """Create an IAM user and return an access key of it; without statements it may do nothing."""
        iam = self.session(account).client("iam")
        iam.create_user(UserName=name)
        if statements:
            iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=policy(*statements))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def role(self, account: str, name: str, *statements: Statement) -> Credentials:
        """Create an IAM role that its account may assume, and return a session of it, as a workload has one."""
        iam = self.session(account).client("iam")
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust_in(account)))["Role"]
        iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=policy(*statements))
        sts = self.session(account).client("sts")
        return credentials(sts.assume_role(RoleArn=role["Arn"], RoleSessionName=name))

    def may_assume_executor(self, stack: str = ACCOUNT_A) -> Statement:
        """Return the policy statement that lets a principal assume a stack's executor role."""
        return {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": self.outputs[stack]["ExecutorRoleArn"]}

    def assume_executor(
        self,
        who: Credentials,
        session_name: str,
        *,
        stack: str = ACCOUNT_A,
        external_id: str | None = None,
        seconds: int = 3600,
    ) -> Credentials:
        """Assume a stack's executor role, by default that of account A's with the lab's external id."""
        # botocore refuses less than 900 seconds, as AWS does; the emulator accepts them.
        sts = self.session(who).client("sts", config=Config(parameter_validation=False))
        return credentials(
            sts.assume_role(
                RoleArn=self.outputs[stack]["ExecutorRoleArn"],
                RoleSessionName=session_name,
                ExternalId=self.external_id if external_id is None else external_id,
                DurationSeconds=seconds,
            )
        )

    def signed(
        self, method: str, path: str, who: Credentials | None, *, body: Any = None, headers: Mapping[str, str] = {}
    ) -> AWSRequest:
        """Make a request from an encoded path and a JSON value; botocore signs it, not the client's own signer."""
        data = None if body is None else json.dumps(body).encode()
        request = AWSRequest(method, self.api_url + path, dict(headers), data)
        if who:
            SigV4Auth(who, "execute-api", REGION).add_auth(request)
        return request

    def send(self, request: AWSRequest) -> requests.Response:
        """Send a request unchanged."""
        with requests.Session() as http:
            http.trust_env = False
            http.verify = str(self.ca_file)
            prepared = requests.Request(request.method, request.url, dict(request.headers), data=request.data).prepare()
            prepared.url = request.url
            return http.send(prepared, allow_redirects=False, timeout=60)

    def request(self, method: str, path: str, who: Credentials | None, **options: Any) -> requests.Response:
        """Sign a request, with arguments as in `signed`, and send it."""
        return self.send(self.signed(method, path, who, **options))

    def invoke(self, event: Any) -> dict[str, Any]:
        """Invoke account B's caller and return its response or, if it failed, `errorType` and `errorMessage`."""
        name = self.outputs[ACCOUNT_B]["CallerFunctionName"]
        response = self._lambda.invoke(FunctionName=name, Payload=json.dumps(event))
        result: dict[str, Any] = json.loads(response["Payload"].read())
        return result

    def _write_user_profiles(self) -> None:
        key = {"aws_access_key_id": self.user_key.access_key, "aws_secret_access_key": self.user_key.secret_key}
        role = {
            "source_profile": USER,
            "role_arn": self.outputs[ACCOUNT_A]["ExecutorRoleArn"],
            "external_id": self.external_id,
            "role_session_name": f"{ACCOUNT_IDS[ACCOUNT_B]}-{USER}",
            "api_path": self._example_path,
        }
        write_profile(self.config_file, USER, **self._location, **key)
        write_profile(self.config_file, USER_PROFILE, **self._location, **role)
