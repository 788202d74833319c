"""SAM CLI, with the project's own templates and samconfig.toml, in a private copy of the sources."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3

from cross_account_access.project import PROJECT, require_project
from cross_account_lab.process import host_architecture, running, tail, without_proxy
from cross_account_lab.workarounds import adapted_template, deployable


class SamError(Exception):
    """A sam command failed."""


def setting(config_env: str, command: str, name: str) -> str:
    """Return a setting from samconfig.toml."""
    require_project()
    config = tomllib.loads((PROJECT / "samconfig.toml").read_text())
    return str(config[config_env][command]["parameters"][name])


def override(name: str, value: str) -> str:
    """Quote any value of a parameter in the way that SAM CLI parses it."""
    escaped = value.replace('"', '\\"')
    return f'{name}="{escaped}"'


def stack_outputs(session: boto3.Session, stack_name: str) -> dict[str, str]:
    """Return the outputs of a deployed stack."""
    [stack] = session.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


@dataclass(frozen=True)
class Sam:
    """SAM CLI in a folder with a copy of the project, so that labs and the user's own `.aws-sam` do not interfere."""

    folder: Path
    environment: Mapping[str, str]
    endpoint: str
    project: Path = PROJECT

    def copy(self) -> None:
        """Copy the current sources, the templates in the form that the emulator can deploy."""
        self.folder.mkdir(exist_ok=True)
        shutil.copy(self.project / "samconfig.toml", self.folder)
        for template in self.project.glob("template-*.yaml"):
            (self.folder / template.name).write_text(adapted_template(template.read_text(), self.endpoint))
        ignored = shutil.ignore_patterns("__pycache__")
        for sources in ("functions", "wheels"):
            if (self.project / sources).exists():
                shutil.copytree(self.project / sources, self.folder / sources, ignore=ignored, dirs_exist_ok=True)

    def build(self, config_envs: Iterable[str]) -> None:
        """Build stacks from the current sources, in parallel."""
        self.copy()
        with ExitStack() as stack:
            for env in config_envs:
                stack.enter_context(self._running("build", env))

    def deploy(self, config_env: str, parameters: Mapping[str, str], *arguments: str) -> None:
        """Run `sam deploy --config-env <config_env>` with these parameters of the template."""
        self.prepare(config_env, parameters)
        overrides = [override(name, value) for name, value in parameters.items()]
        with self._running("deploy", config_env, *arguments, "--parameter-overrides", *overrides):
            pass

    def prepare(self, config_env: str, given: Mapping[str, str]) -> None:
        """Prepare a built template to be deployed with these parameters."""
        try:
            template = self.build_folder(config_env) / "template.yaml"
        except KeyError:  # nothing of it is built
            return
        if template.exists():
            template.write_text(deployable(template.read_text(), given))

    def in_terminal(self, *arguments: str) -> int:
        """Run a command for a user who watches it, and return its exit code."""
        command: list[str | Path] = [Path(sys.executable).parent / "sam", *arguments]
        return subprocess.run(command, cwd=self.folder, env=self._variables(), check=False).returncode

    def build_folder(self, config_env: str) -> Path:
        """Return the folder of a built stack: its template and, by logical id, the packages of its functions."""
        return self.folder / setting(config_env, "build", "build_dir")

    @contextmanager
    def _running(self, command: str, config_env: str, *arguments: str) -> Iterator[None]:
        """Run it during the block, and wait for it to succeed at the end."""
        sam: list[str | Path] = [Path(sys.executable).parent / "sam", command, "--config-env", config_env, *arguments]
        log = self.folder / f"{command}-{config_env}.log"
        with running(sam, cwd=self.folder, env=self._variables(), log=log) as process:
            yield
            if process.wait() != 0:
                raise SamError(f"sam {command} --config-env {config_env} failed ({process.returncode}):\n{tail(log)}")

    def _variables(self) -> dict[str, str]:
        # The user's AWS settings stay away.
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return own | {
            **self.environment,
            **without_proxy("127.0.0.1", os.environ),
            # The functions run on this machine; functions/Makefile does not see the template's parameters.
            "ARCHITECTURE": host_architecture(),
            # SAM builds with the python3.13 that it finds.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "TMPDIR": str(self.folder),
            "SAM_CLI_TELEMETRY": "0",
            # By default it writes a file to the home directory.
            "__SAM_CLI_APP_DIR": str(self.folder),
            # Seconds between two polls of a deployment, which takes minutes on AWS and seconds here.
            "SAM_CLI_POLL_DELAY": "0.3",
        }
