"""A lab whose functions run in containers of the real Lambda runtime, and `sam local` against it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import docker
from botocore.config import Config
from botocore.credentials import Credentials
from samtranslator.yaml_helper import yaml_parse

from lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_IDS, REGION
from lab.containers.image import ENGINE, RuntimeImage, engine, runtime_image
from lab.emulator import free_port
from lab.lab import STACK_NAMES, Lab, Step, credentials
from lab.process import running, tail
from lab.sam import SamError

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import FunctionConfigurationResponseTypeDef

ACCOUNTS = {"OrdersFunction": ACCOUNT_A, "CallerFunction": ACCOUNT_B}

# Docker Desktop's name for this machine; other engines are told.
_HOST = "host.docker.internal"
_CA_FILE = "lab-ca.pem"
_START_SECONDS = 60
_SESSION_SECONDS = 12 * 60 * 60


@dataclass(frozen=True)
class Invocation:
    """What came of a `sam local invoke`.

    Attributes:
        output: What the function returned, or Lambda's form of its error; no JSON, or nothing, if the runtime ended it.
        log: What the function, the runtime and SAM CLI logged.
    """

    output: str
    log: str

    @property
    def failed(self) -> bool:
        """Whether the function failed; SAM CLI's exit code does not tell."""
        try:
            payload = json.loads(self.output)
        except ValueError:
            return True
        return isinstance(payload, dict) and "errorType" in payload


@dataclass
class ContainerLab:
    """A lab whose functions run in containers, and which containers reach.

    Attributes:
        lab: The lab, deployed.
        image: What the functions run in.
    """

    lab: Lab
    image: RuntimeImage

    @classmethod
    @contextmanager
    def start(cls, *, step: Step = lambda _: nullcontext()) -> Iterator[Self]:
        """Start a lab and deploy both stacks; leave no process, file or container behind.

        Args:
            step: Makes a context manager around each step, from a description of it.

        Yields:
            The lab.

        Raises:
            RuntimeImageError: There is no Docker engine, or no image.
            EmulatorError: The emulator did not start.
            SamError: A stack could not be built or deployed.
        """
        with ExitStack() as stack:
            client = engine()
            stack.callback(client.close)
            with step("find or make the image of the Lambda runtime"):
                image = runtime_image(client)
            trust = Path(stack.enter_context(TemporaryDirectory()))
            settings = {
                "LAMBDA_STRICT": "1",
                "LAMBDA_DOCKER_FLAGS": f"--volume {trust}:/var/lab:ro --env AWS_CA_BUNDLE=/var/lab/{_CA_FILE}",
                "MINISTACK_IMAGE_PREFIX": image.prefix,
                "DOCKER_HOST": ENGINE,
            }
            host = _bridge_address(client) or "127.0.0.1"
            # Entered first, left last: then nothing is there any more that could start another container.
            containers = stack.enter_context(ExitStack())
            lab = stack.enter_context(Lab.start(deployed=False, step=step, host=host, settings=settings))
            containers.callback(_remove_containers, client, (lab.folder, trust))
            shutil.copy(lab.ca_file, trust / _CA_FILE)
            self = cls(lab, image)
            with step(f"sam deploy --config-env {ACCOUNT_A}"):
                lab.deploy(ACCOUNT_A)
            with step(f"sam deploy --config-env {ACCOUNT_B}"):
                lab.deploy(ACCOUNT_B, ApiUrl=self.as_seen_inside(lab.api_url))
            self._trust_lab()
            yield self

    def build(self) -> None:
        """Build both stacks again; warm containers follow with their next invocation.

        Raises:
            SamError: A build failed.
        """
        self.lab.sam.build(STACK_NAMES)
        self._trust_lab()

    def as_seen_inside(self, url: str) -> str:
        """Return the URL by which containers reach what this machine reaches by another.

        Args:
            url: A URL of this machine.
        """
        parts = urlsplit(url)
        return parts._replace(netloc=f"{_HOST}:{parts.port}").geturl()

    def template(self, function: str, variants: Mapping[str, Mapping[str, Any]]) -> Path:
        """Write a template for `sam local` with a function as it is built and deployed, and variants of it.

        `sam local` knows neither the stack's other resources nor its account, so the environment variables come from
        the deployed function. Those that lead to the emulator are added: it passes on none that no template declares.

        Args:
            function: Its logical id.
            variants: Properties that differ, by the variant's logical id; `Environment` adds to the variables.

        Returns:
            The template.
        """
        build = self.build_folder(function)
        properties = yaml_parse((build / "template.yaml").read_text())["Resources"][function]["Properties"]
        deployed = self.configuration(function)
        common = {
            "CodeUri": str(build / function),
            "Handler": properties["Handler"],
            "Runtime": properties["Runtime"],
            "MemorySize": properties["MemorySize"],
            "Timeout": properties["Timeout"],
            "Architectures": deployed["Architectures"],
        }
        variables = deployed["Environment"]["Variables"] | {
            "AWS_ENDPOINT_URL": self.as_seen_inside(self.lab.endpoint),
            "AWS_CA_BUNDLE": f"/var/task/{_CA_FILE}",
        }
        resources = {
            name: {
                "Type": "AWS::Serverless::Function",
                "Properties": {
                    **common,
                    **differing,
                    "Environment": {"Variables": {**variables, **differing.get("Environment", {})}},
                },
            }
            for name, differing in variants.items()
        }
        path = self.lab.folder / f"local-{'-'.join(variants)}.json"
        path.write_text(json.dumps({"Transform": "AWS::Serverless-2016-10-31", "Resources": resources}))
        return path

    def build_folder(self, function: str) -> Path:
        """Return the folder that holds a function's built template and, under its logical id, its package.

        Args:
            function: Its logical id.
        """
        return self.lab.sam.folder / ".aws-sam" / ACCOUNTS[function] / "build"

    def configuration(self, function: str) -> FunctionConfigurationResponseTypeDef:
        """Return how a function is deployed.

        Args:
            function: Its logical id.
        """
        account = ACCOUNTS[function]
        session = self.lab.session(account)
        resource = session.client("cloudformation").describe_stack_resource(
            StackName=STACK_NAMES[account], LogicalResourceId=function
        )
        name = resource["StackResourceDetail"]["PhysicalResourceId"]
        return session.client("lambda").get_function_configuration(FunctionName=name)

    def role_session(self, function: str) -> Credentials:
        """Assume a function's own role for a day's work, so that `sam local` may do what the function may, and no more.

        Only Lambda is trusted with the role; here, the account's root is too.

        Args:
            function: Its logical id.
        """
        account = ACCOUNTS[function]
        role = self.configuration(function)["Role"]
        session = self.lab.session(account)
        iam, sts = session.client("iam"), session.client("sts")
        name = role.rpartition("/")[2]
        trust: Any = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        root = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT_IDS[account]}, "Action": "sts:AssumeRole"}
        if root not in trust["Statement"]:
            trust["Statement"].append(root)
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
        return credentials(sts.assume_role(RoleArn=role, RoleSessionName=function, DurationSeconds=_SESSION_SECONDS))

    def invoke(
        self,
        function: str,
        event: Path,
        *arguments: str,
        properties: Mapping[str, Any] | None = None,
        log: int | None = subprocess.PIPE,
    ) -> Invocation:
        """Run `sam local invoke` on a function as it is built and deployed.

        Args:
            function: Its logical id.
            event: A file with the event.
            *arguments: Further arguments of the command.
            properties: Properties that differ, as in `template`.
            log: Where the log goes, as `subprocess` takes it; None shows it as it comes.

        Returns:
            What came of it.

        Raises:
            SamError: The command itself failed.
        """
        command = self._command("invoke", self.template(function, {function: properties or {}}))
        process = subprocess.run(
            [*command, function, "--event", event.resolve(), *arguments],
            env=self._environment(function),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            check=False,
        )
        if process.returncode:
            raise SamError(f"sam local invoke {function} failed ({process.returncode}):\n{process.stderr or ''}")
        return Invocation(process.stdout.strip(), process.stderr or "")

    @contextmanager
    def start_lambda(
        self, function: str, variants: Mapping[str, Mapping[str, Any]], *arguments: str
    ) -> Iterator[LambdaClient]:
        """Keep warm containers of a function and of variants of it behind `sam local start-lambda`.

        Args:
            function: Its logical id.
            variants: As in `template`.
            *arguments: Further arguments of the command.

        Yields:
            A client of Lambda's API that reaches them by their logical ids.

        Raises:
            SamError: The command did not start.
        """
        template = self.template(function, variants)
        with self.serving("start-lambda", function, template, "--warm-containers", "LAZY", *arguments) as url:
            yield self.lab.session(ACCOUNTS[function]).client(
                "lambda", endpoint_url=url, config=Config(read_timeout=120, retries={"total_max_attempts": 1})
            )

    @contextmanager
    def serving(self, command: str, function: str, template: Path, *arguments: str) -> Iterator[str]:
        """Run `sam local start-lambda` or `start-api` until the end of the block; its containers end with the lab.

        Args:
            command: Which of the two.
            function: Logical id of the function whose role it has.
            template: The template.
            *arguments: Further arguments.

        Yields:
            The URL under which it serves.

        Raises:
            SamError: It ended, or was not ready within 60 seconds.
        """
        port = free_port("127.0.0.1")
        log = self.lab.folder / f"{command}-{port}.log"
        full = [*self._command(command, template), "--port", str(port), *arguments]
        with running(full, cwd=self.lab.folder, env=self._environment(function), log=log) as process:
            deadline = time.monotonic() + _START_SECONDS
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SamError(f"sam local {command} did not start:\n{tail(log)}")
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"

    def _trust_lab(self) -> None:
        # The package is all of this machine that a container of `sam local` sees.
        for function in ACCOUNTS:
            shutil.copy(self.lab.ca_file, self.build_folder(function) / function / _CA_FILE)

    def _command(self, command: str, template: Path) -> list[str | Path]:
        return [
            Path(sys.executable).parent / "sam",
            "local",
            command,
            "--template",
            template,
            "--region",
            REGION,
            "--invoke-image",
            self.image.name,
            "--skip-pull-image",
            "--add-host",
            f"{_HOST}:host-gateway",
        ]

    def _environment(self, function: str) -> dict[str, str]:
        session = self.role_session(function)
        # Variables of the shell would win over the template's.
        kept = os.environ.keys() - self.configuration(function)["Environment"]["Variables"].keys()
        return {name: os.environ[name] for name in kept if not name.startswith("AWS_")} | {
            "AWS_ACCESS_KEY_ID": session.access_key,
            "AWS_SECRET_ACCESS_KEY": session.secret_key,
            "AWS_SESSION_TOKEN": session.token or "",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            # SAM CLI asks who it is. Variables that the template declares would reach the function instead of its own.
            "AWS_ENDPOINT_URL_STS": self.lab.endpoint,
            "REQUESTS_CA_BUNDLE": str(self.lab.ca_file),
            "NO_PROXY": urlsplit(self.lab.endpoint).hostname or "",
            "SAM_CLI_TELEMETRY": "0",
            # Seconds for a container to start: SAM CLI's 20 are too few for several at once on a busy machine.
            "SAM_CLI_CONTAINER_CONNECTION_TIMEOUT": str(_START_SECONDS),
            # Where it would leave files in the home directory.
            "__SAM_CLI_APP_DIR": str(self.lab.folder),
            "SAM_LAYER_CACHE_BASEDIR": str(self.lab.folder),
        }


def _bridge_address(client: docker.DockerClient) -> str:
    """Return the address under which containers reach this machine; empty if the engine runs on another one.

    A virtual machine counts as another: Docker Desktop leads from `host-gateway` to this machine's loopback.
    """
    [settings, *_] = client.networks.get("bridge").attrs["IPAM"]["Config"]
    # Where the engine has not been told an address, it takes the subnet's first.
    address = settings.get("Gateway") or str(ip_network(settings["Subnet"])[1])
    try:
        with socket.socket() as listener:
            listener.bind((address, 0))
    except OSError:
        return ""
    return address


def _remove_containers(client: docker.DockerClient, folders: Iterable[Path]) -> None:
    """Remove the containers that see something of these folders: SAM CLI's the packages, the emulator's the trust."""
    for container in client.containers.list(all=True):
        sources = [Path(mount["Source"]) for mount in container.attrs["Mounts"] if "Source" in mount]
        if any(source.is_relative_to(folder) for source in sources for folder in folders):
            container.remove(force=True)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
