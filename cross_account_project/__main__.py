"""`cross-account-api init` makes a project of one's own, `upgrade` merges a newer version into it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cross_account_project import init, upgrade
from cross_account_project.derive import ProjectError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 for success, 1 for conflicts, 2 for an error."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "init":
            init.init(given.dir, given.name, given.wheels)
            return 0
        return 0 if upgrade.upgrade(given.dir, given.wheels) else 1
    except (ProjectError, OSError) as error:
        print(f"cross-account-api {given.command}: {error}", file=sys.stderr)  # noqa: T201
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cross-account-api", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("init", help="write a project: two routes, a scheduled caller, a local AWS, proofs")
    start.add_argument("dir", type=Path, metavar="DIR", help="a new or empty folder")
    start.add_argument("name", metavar="NAME", help="of the API: letters, digits and hyphens")
    newer = commands.add_parser("upgrade", help="merge what this version changed into a project; conflicts are git's")
    newer.add_argument("dir", type=Path, metavar="DIR", nargs="?", default=Path(), help="default: this folder")
    for command in (start, newer):
        command.add_argument("--wheels", type=Path, metavar="DIR", help="where both wheels lie (default: as installed)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
