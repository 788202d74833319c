"""The emulator of AWS: MiniStack, on loopback, with every signature and policy enforced."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

import trustme

from lab.process import running, tail

CA_FILE = "ca.pem"
"""In the emulator's folder: the certificate authority that its endpoint is to be trusted by."""

_PROGRAM = Path(__file__).parents[1] / ".lab-venv/bin/ministack"
_READY_SECONDS = 30.0

# Beside the emulator, its group holds a shell that waits for the end of standard input: then the lab's process is gone,
# and nobody else is left to remove its folder.
_SUPERVISE = 'exec 3<&0; (cat <&3 >/dev/null; rm -rf "$1"; kill -KILL 0) & exec "$0" </dev/null 3<&-'


class EmulatorError(Exception):
    """The emulator is not installed or did not start."""


@contextmanager
def emulator(
    folder: Path,
    *,
    api_account: str,
    host: str = "127.0.0.1",
    settings: Mapping[str, str] | None = None,
    program: Path = _PROGRAM,
) -> Iterator[str]:
    """Run the emulator on a free port, with TLS as on AWS, where the queues refuse everything else.

    Args:
        folder: An empty folder, the only place that the emulator writes to; it gets `CA_FILE`.
        api_account: Id of the account to which unsigned requests are attributed: only there are they refused as on AWS.
        host: IP address to listen on: loopback, or that of a bridge to containers on this machine.
        settings: Environment variables of the emulator beside those that make it strict and quiet.
        program: The emulator's program, in an environment of its own because it pins another botocore than SAM CLI.

    Yields:
        The endpoint URL.

    Raises:
        EmulatorError: The emulator is not installed, ended, or was not ready within 30 seconds.
    """
    if not program.exists():
        raise EmulatorError(f"{program} is missing: run `make setup`")
    port = free_port(host)
    temporary = folder / "tmp"
    temporary.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / CA_FILE)
    # The second name is what containers call this machine.
    certificate = authority.issue_cert(host, "host.docker.internal")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "endpoint.pem")
    # Nothing of the user's environment reaches the emulator, because its functions inherit what it has.
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(temporary),
        "STATE_DIR": str(folder / "state"),
        "AUTH": "true",
        "BIND_HOST": host,
        "MINISTACK_HOST": host,
        "GATEWAY_PORT": str(port),
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(folder / "endpoint.pem"),
        "MINISTACK_SSL_KEY": str(folder / "endpoint.pem"),
        # For its functions.
        "AWS_CA_BUNDLE": str(folder / CA_FILE),
        "MINISTACK_ACCOUNT_ID": api_account,
        # What it would otherwise open or look for besides its port.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": "unix:///nonexistent",
        **(settings or {}),
    }
    trust = ssl.create_default_context(cafile=folder / CA_FILE)
    log = folder / "emulator.log"
    with running(["sh", "-c", _SUPERVISE, program, folder], cwd=folder, env=environment, log=log) as process:
        deadline = time.monotonic() + _READY_SECONDS
        while not _is_ready(host, port, trust):
            if process.poll() is not None:
                raise EmulatorError(f"the emulator ended while it started:\n{tail(log)}")
            if time.monotonic() > deadline:
                raise EmulatorError(f"the emulator was not ready within {_READY_SECONDS:.0f} s:\n{tail(log)}")
            time.sleep(0.05)
        yield f"https://{host}:{port}"


def free_port(host: str) -> int:
    """Find a port on which nothing listens.

    Args:
        host: IP address to listen on.

    Returns:
        The port.
    """
    with socket.socket() as listener:
        listener.bind((host, 0))
        port: int = listener.getsockname()[1]
        return port


def _is_ready(host: str, port: int, trust: ssl.SSLContext) -> bool:
    with closing(HTTPSConnection(host, port, timeout=1, context=trust)) as connection, suppress(OSError, HTTPException):
        connection.request("GET", "/_ministack/ready")
        return connection.getresponse().status == 200
    return False
