"""The emulator of AWS: MiniStack on loopback, with signatures and policies enforced."""

import fcntl
import hashlib
import os
import ssl
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPException, HTTPSConnection
from importlib.resources import as_file, files
from pathlib import Path

import trustme

from cross_account_lab.process import free_port, running, tail

CA_FILE = "ca.pem"
"""File with the certificate authority of the endpoint, in the emulator's folder."""

# A shell in the emulator's process group waits for EOF on standard input, i.e. for the lab to die, and then removes the
# folder and kills the group.
_SUPERVISE = 'exec 3<&0; (cat <&3 >/dev/null; rm -rf "$1"; kill -KILL 0) & exec "$0" </dev/null 3<&-'


class EmulatorError(Exception):
    """The emulator is not installed or did not start."""


def installed() -> Path:
    """Return the emulator's program, installed once for each version in the user's cache.

    It has an environment of its own because it pins another botocore than SAM CLI.
    """
    requirements = files("cross_account_lab") / "requirements.txt"
    content = requirements.read_bytes() + sys.version.encode()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cross-account-api"
    folder = cache / f"ministack-{hashlib.sha256(content).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / ".ready"
    with (folder / ".lock").open("w") as lock, as_file(requirements) as path:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            venv.create(folder, symlinks=True)
            pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install"]
            pinned = ("--no-deps", "--require-hashes", "--only-binary=:all:", "-r", path)
            done = subprocess.run(
                [*pip, "--quiet", "--disable-pip-version-check", *pinned],
                env={**os.environ, "PIP_USER": "0"},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise EmulatorError(f"the emulator could not be installed into {folder}:\n{done.stderr.strip()}")
            ready.touch()
    return folder / "bin/ministack"


@contextmanager
def emulator(
    folder: Path,
    *,
    api_account: str,
    host: str = "127.0.0.1",
    settings: Mapping[str, str] = {},
    program: Path | None = None,
    ready_seconds: float = 300.0,
) -> Iterator[str]:
    """Run the emulator on a free port and yield its URL. It speaks TLS, as the queues' policies demand.

    It writes to no other folder than the given one, which must be empty, and creates `CA_FILE` in it.
    """
    program = program or installed()
    port = free_port(host)
    (folder / "tmp").mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / CA_FILE)
    # Containers reach this machine by the second name.
    certificate = authority.issue_cert(host, "host.docker.internal")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "endpoint.pem")
    # Not the user's environment: the functions inherit the emulator's.
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "STATE_DIR": str(folder / "state"),
        "AUTH": "true",
        "BIND_HOST": host,
        "MINISTACK_HOST": host,
        "GATEWAY_PORT": str(port),
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(folder / "endpoint.pem"),
        "MINISTACK_SSL_KEY": str(folder / "endpoint.pem"),
        "AWS_CA_BUNDLE": str(folder / CA_FILE),
        # Unsigned requests are attributed to this account; only there are they refused as on AWS.
        "MINISTACK_ACCOUNT_ID": api_account,
        # Ports and sockets that it would open or look for.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": "unix:///nonexistent",
        **settings,
    }
    trust = ssl.create_default_context(cafile=folder / CA_FILE)
    log = folder / "emulator.log"
    with running(["sh", "-c", _SUPERVISE, program, folder], cwd=folder, env=environment, log=log) as process:
        deadline = time.monotonic() + ready_seconds
        while not _is_ready(host, port, trust):
            if process.poll() is not None:
                raise EmulatorError(f"the emulator ended while it started:\n{tail(log)}")
            if time.monotonic() > deadline:
                raise EmulatorError(f"the emulator was not ready within {ready_seconds:.0f} s:\n{tail(log)}")
            time.sleep(0.05)
        yield f"https://{host}:{port}"


def _is_ready(host: str, port: int, trust: ssl.SSLContext) -> bool:
    with closing(HTTPSConnection(host, port, timeout=9, context=trust)) as connection, suppress(OSError, HTTPException):
        connection.request("GET", "/_ministack/ready")
        return connection.getresponse().status == 200
    return False
