"""The real SAM CLI, with the project's own templates and samconfig.toml, in a private copy of the sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.process import running, tail
from lab.workarounds import adapted_template, host_architecture

_PROJECT = Path(__file__).parents[1]


class SamError(Exception):
    """A sam command failed."""


@dataclass(frozen=True)
class Sam:
    """SAM CLI for one lab.

    It works in a copy of the sources, so that labs beside each other and the user's own `.aws-sam` do not meet.

    Attributes:
        folder: The private folder with the copy, the builds and the logs.
        environment: Environment variables beside those of this process; the user's AWS settings are left out.
    """

    folder: Path
    environment: Mapping[str, str]

    def build(self, config_envs: Iterable[str]) -> None:
        """Copy the sources as they stand now and build stacks, all at the same time.

        Args:
            config_envs: Sections of samconfig.toml.

        Raises:
            SamError: A build failed.
        """
        self.folder.mkdir(exist_ok=True)
        shutil.copy(_PROJECT / "samconfig.toml", self.folder)
        for template in _PROJECT.glob("template-*.yaml"):
            (self.folder / template.name).write_text(adapted_template(template.read_text()))
        shutil.copytree(
            _PROJECT / "functions",
            self.folder / "functions",
            ignore=shutil.ignore_patterns("__pycache__"),
            dirs_exist_ok=True,
        )
        with ExitStack() as stack:
            builds = [(env, stack.enter_context(self._running("build", env))) for env in config_envs]
            for env, process in builds:
                self._wait(process, "build", env)

    def run(self, command: str, config_env: str, *arguments: str) -> None:
        """Run `sam <command> --config-env <config_env> <arguments>`.

        Args:
            command: The sam command, such as deploy.
            config_env: Section of samconfig.toml.
            *arguments: What follows.

        Raises:
            SamError: The command failed.
        """
        with self._running(command, config_env, *arguments) as process:
            self._wait(process, command, config_env)

    @contextmanager
    def _running(self, command: str, config_env: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        bin_folder = Path(sys.executable).parent
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= self.environment
        environment |= {
            # The functions run on this machine; SAM does not tell functions/Makefile.
            "ARCHITECTURE": host_architecture(),
            # SAM builds with the python3.13 that it finds.
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "TMPDIR": str(temporary),
            "SAM_CLI_TELEMETRY": "0",
            # Where it would leave a file in the home directory.
            "__SAM_CLI_APP_DIR": str(temporary),
            # Seconds between two looks at a deployment; AWS takes minutes, the emulator does not.
            "SAM_CLI_POLL_DELAY": "0.3",
            "NO_PROXY": "127.0.0.1",
        }
        sam: list[str | Path] = [bin_folder / "sam", command, "--config-env", config_env, *arguments]
        with running(sam, cwd=self.folder, env=environment, log=self._log(command, config_env)) as process:
            yield process

    def _wait(self, process: subprocess.Popen[bytes], command: str, config_env: str) -> None:
        if process.wait() != 0:
            log = tail(self._log(command, config_env))
            raise SamError(f"sam {command} --config-env {config_env} failed ({process.returncode}):\n{log}")

    def _log(self, command: str, config_env: str) -> Path:
        return self.folder / f"{command}-{config_env}.log"
