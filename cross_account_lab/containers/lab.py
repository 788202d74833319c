"""A lab whose functions run in containers of the Lambda runtime."""

import shutil
import socket
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from urllib.parse import urlsplit

import docker
from botocore.credentials import Credentials
from docker.models.containers import Container

from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B
from cross_account_lab.containers.image import AWS_IMAGE, ENGINE, docker_client, runtime_image
from cross_account_lab.functions import Function
from cross_account_lab.iam import credentials, policy, trust_in
from cross_account_lab.lab import STACK_NAMES, Lab, Step

HOST = "host.docker.internal"
"""Docker Desktop's name for this machine; the containers of other engines get it as an extra host."""
CA_FILE = "lab-ca.pem"
"""The lab's certificate authority, in every package that `sam local` mounts."""


@dataclass
class ContainerLab:
    """A lab that containers can reach, and whose functions run in containers of an image."""

    lab: Lab
    image: str

    @classmethod
    @contextmanager
    def start(cls, *, image: str = "", step: Step = nullcontext) -> Iterator[Self]:
        """Start a lab and deploy both stacks; leave no process, file or container behind.

        An image that is not AWS's own has its name with a prefix.
        """
        with ExitStack() as stack:
            client = docker_client()
            stack.callback(client.close)
            with step("find or pull the image of the Lambda runtime"):
                image = image or runtime_image(client)
            trust = Path(stack.enter_context(TemporaryDirectory()))
            settings = {
                "LAMBDA_STRICT": "1",
                "LAMBDA_DOCKER_FLAGS": f"--volume {trust}:/var/lab:ro --env AWS_CA_BUNDLE=/var/lab/{CA_FILE}",
                "MINISTACK_IMAGE_PREFIX": image.removesuffix(AWS_IMAGE).rstrip("/"),
                "DOCKER_HOST": ENGINE,
            }
            host = _address_for_containers(client)
            # Entered first, left last: by then, nothing that could start another container is left.
            containers = stack.enter_context(ExitStack())
            lab = stack.enter_context(Lab.start(deployed=False, step=step, host=host, settings=settings))
            containers.callback(_remove_containers, client, (lab.folder, trust))
            shutil.copy(lab.ca_file, trust / CA_FILE)
            lab.deploy(ACCOUNT_A)
            lab.deploy(ACCOUNT_B, ApiUrl=container_url(lab.api_url))
            self = cls(lab, image)
            self._add_ca_to_packages()
            yield self

    def build(self) -> None:
        """Build both stacks again; warm containers are replaced at their next invocation."""
        self.lab.sam.build(STACK_NAMES)
        self._add_ca_to_packages()

    def package(self, function: Function) -> Path:
        """Return the folder with a function's built package."""
        return self.lab.sam.build_folder(function.account) / function.name

    def configuration(self, function: Function) -> dict[str, Any]:
        """Return the configuration of a deployed function."""
        session = self.lab.session(function.account)
        stack = {"StackName": STACK_NAMES[function.account], "LogicalResourceId": function.name}
        resource = session.client("cloudformation").describe_stack_resource(**stack)["StackResourceDetail"]
        return {**session.client("lambda").get_function_configuration(FunctionName=resource["PhysicalResourceId"])}

    def role_session(self, function: Function) -> Credentials:
        """Assume a function's own role, which only Lambda may assume unless its trust policy is extended."""
        session = self.lab.session(function.account)
        iam, sts = session.client("iam"), session.client("sts")
        arn = self.configuration(function)["Role"]
        name = arn.rpartition("/")[2]
        document: Any = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        trust = trust_in(function.account)
        if trust not in document["Statement"]:
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=policy(*document["Statement"], trust))
        return credentials(sts.assume_role(RoleArn=arn, RoleSessionName=function.name, DurationSeconds=12 * 60 * 60))

    def _add_ca_to_packages(self) -> None:
        # A container of `sam local` sees nothing of this machine but the package.
        for account in STACK_NAMES:
            for package in self.lab.sam.build_folder(account).glob("*/"):
                shutil.copy(self.lab.ca_file, package / CA_FILE)


def container_url(url: str) -> str:
    """Return the URL by which containers reach a URL of this machine."""
    return urlsplit(url)._replace(netloc=f"{HOST}:{urlsplit(url).port}").geturl()


def _address_for_containers(client: docker.DockerClient) -> str:
    """Return the address of this machine to which `host-gateway` leads."""
    [settings, *_] = client.networks.get("bridge").attrs["IPAM"]["Config"]
    # An engine without a configured address takes the first one of the subnet.
    address = settings.get("Gateway") or str(ip_network(settings["Subnet"])[1])
    try:
        with socket.socket() as listener:
            listener.bind((address, 0))
    except OSError:  # Docker Desktop's engine is in a virtual machine, and routes it to this machine's loopback
        return "127.0.0.1"
    return address


def _remove_containers(client: docker.DockerClient, folders: Iterable[Path]) -> None:
    """Remove the containers that mount one of these folders or a part of it."""

    def remove(container: Container) -> None:
        sources = [Path(mount.get("Source", "/")) for mount in container.attrs["Mounts"]]
        if any(source.is_relative_to(folder) for source in sources for folder in folders):
            container.remove(force=True)

    # Other labs' containers may disappear in between.
    with ThreadPoolExecutor() as pool:
        list(pool.map(remove, client.containers.list(all=True, ignore_removed=True)))
