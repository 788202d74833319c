"""Serve an API on loopback that checks every signature: `python -m cross_account_lab verify`."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from shlex import quote

from cross_account_lab.judge import sts
from cross_account_lab.judge.judge import serve, show


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--port", type=int, default=0, help="of the API; a free one by default")
    parser.add_argument("--region", default=sts.REGION, help="to sign for; default: %(default)s")
    parser.add_argument("--service", default="execute-api", help="to sign for; default: %(default)s")
    parser.add_argument(
        "--stage", type=_stage, default="/v1", help="what paths begin with; empty for none; default: %(default)s"
    )


def run(options: argparse.Namespace) -> None:
    """Serve until interrupted: print what a caller needs, then a line for each request."""
    with serve(port=options.port, region=options.region, service=options.service, stage=options.stage) as api:
        for name, value in api.environment.items():
            _write(f"export {name}={quote(value)}")
        _write("# Sign with these, or assume the role at AWS_ENDPOINT_URL_STS first. Ctrl-C ends it.")
        api.judge.report = lambda verdict: _write(show(verdict))
        threading.Event().wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m cross_account_lab verify", description=__doc__)
    add_options(parser)
    try:
        run(parser.parse_args(arguments))
    except OSError as error:
        parser.error(f"cannot listen: {error.strerror}")
    except KeyboardInterrupt:
        pass
    return 130


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _stage(text: str) -> str:
    if text and (not text.startswith("/") or text.endswith("/")):
        raise argparse.ArgumentTypeError(f"must be empty or like /v1, not {text!r}")
    return text


if __name__ == "__main__":
    raise SystemExit(main())
