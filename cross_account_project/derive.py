"""The files of a project: ours without the example, and the few that are the user's own from the start.

Nothing but the standard library, no network and no clock: an upgrade generates the old version's files once more, from
that version's wheel, and they must come out the same.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
DISTRIBUTIONS = ("cross-account-api", "cross-account-api-dev")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")
_MAX_NAME = 40


class ProjectError(Exception):
    """Nothing was written; says what is wrong and what is allowed."""


class _ChangedError(AssertionError):
    """Our own files no longer hold what is to be taken out of them."""


def project_files(name: str, wheels: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the content of each file by path.

    Args:
        name: Of the API: in its resources, stacks and first route.
        wheels: The runtime's and the development wheel of one version, by file name.
    """
    title, version = require_name(name), version_of(next(iter(wheels)))
    texts = {path: _own(source).replace("{version}", version) for path, source in _OWN.items()}
    texts |= {path: _derive(path, *changes) for path, changes in _DERIVED.items()}
    texts = {path: text.replace("orders", name).replace("Orders", title) for path, text in texts.items()}
    runtime, development = (
        f"{distribution}=={version} \\\n    --hash=sha256:{hashlib.sha256(content).hexdigest()}\n"
        for distribution, (_, content) in zip(DISTRIBUTIONS, sorted(wheels.items()), strict=True)
    )
    locks = {
        "requirements.txt": runtime + development + _own("requirements.txt"),
        "functions/backend/requirements.txt": runtime,
        "functions/caller/requirements.txt": runtime + _source("functions/cross_account_caller/requirements.txt"),
    }
    contents = {path: text.encode() for path, text in (texts | locks).items()}
    return dict(sorted((contents | {f"wheels/{file}": content for file, content in wheels.items()}).items()))


def version_of(wheel: str) -> str:
    """Return the version in the file name of one of our wheels, nothing for any other file."""
    found = re.fullmatch(r"cross_account_api(?:_dev)?-([^-]+)-py3-none-any\.whl", wheel)
    return found[1] if found else ""


def require_name(name: str) -> str:
    """Return the name as part of a logical id (`my-shop`: `MyShop`), or raise `ProjectError`."""
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        allowed = f"up to {_MAX_NAME} letters, digits and single hyphens, beginning with a letter"
        raise ProjectError(f"NAME is {name!r}. Allowed: {allowed}.")
    title = "".join(part[0].upper() + part[1:] for part in name.split("-"))
    template = _source("template-account-a.yaml") + _source("template-account-b.yaml")
    taken = set(re.findall(r"^  (\w+):$", template, re.M))
    for kind in ("Api", "Function", "FunctionRole", "LogGroup"):
        if f"{title}{kind}" in taken:
            raise ProjectError(f"NAME is {name!r}, but the templates have a {title}{kind} already: choose another one.")
    if name.lower() == "whoami":
        raise ProjectError(f"NAME is {name!r}, but every project has the route /whoami: choose another one.")
    return title


def _source(path: str) -> str:
    """Return one of our own files: from the wheel, where they lie beside this module, else from the repository."""
    packaged = files("cross_account_project") / "project" / path
    place = packaged if packaged.is_file() else REPOSITORY / path
    return place.read_text(encoding="utf-8")


def _own(path: str) -> str:
    return (files("cross_account_project") / "files" / path).read_text(encoding="utf-8")


def _derive(path: str, *changes: Callable[[str], str]) -> str:
    text = _source(path.removeprefix(".github/actions/access-diff/"))
    for change in changes:
        text = change(text)
    return text


def _drop(indent: int, *keys: str) -> Callable[[str], str]:
    """Take out blocks of YAML by key or by the Sid of a statement, with the comment above them."""

    def change(text: str) -> str:
        for key in keys:
            head = " " * indent + re.escape(key)
            block = (
                rf"(?:^ {{{indent}}}#.*\n)*^{head}.*\n(?:^ {{{indent + 1},}}\S.*\n)*(?:^\n(?=(?: {{{indent}}}\S|\n)))?"
            )
            text, count = re.subn(block, "", text, flags=re.M)
            if count != 1:
                raise _ChangedError(f"{key}: {count} blocks instead of one")
        return text

    return change


def _sub(pattern: str, replacement: str = "") -> Callable[[str], str]:
    """Replace a text that is found exactly once, or take it out."""

    def change(text: str) -> str:
        text, found = re.subn(pattern, replacement, text, flags=re.M)
        if found != 1:
            raise _ChangedError(f"{pattern}: found {found} times instead of once")
        return text

    return change


def _dashboard(text: str) -> str:
    """Take out the example's metrics and tables; what is left of a row moves up."""
    start, end = text.index('        {"periodOverride"'), text.index("\n        ]}\n")
    head, *widgets = re.split(r",?\n(?= {10}\{\"type\")", text[start:end])
    gone = ('"title": "Orders"', '"title": "Tables and indexes')
    kept = [widget for widget in widgets if not any(title in widget for title in gone)]
    if len(kept) != len(widgets) - 3:
        raise _ChangedError(f"the dashboard has {len(widgets)} widgets, of which {len(kept)} are left")
    kept = [re.sub(r',\n +\["CrossAccountApi", [^\n]*\}\](?=,\n|\]\}\})', "", widget) for widget in kept]
    kept = [re.sub(r',\s+"\$\{StoreThrottledAlarm\.Arn\}"', "", widget) for widget in kept]
    return (text[:start] + head + "\n" + ",\n".join(kept) + text[end:]).replace('"x": 16, "y": 15', '"x": 8, "y": 15')


# What the smoke test of a project is: the scheduled caller's own call, through the deployed function.
_SMOKE_TEST = """\
      - run: |
          stack=(--stack-name orders-caller --query "Stacks[0].Outputs")
          outputs=$(aws cloudformation describe-stacks --profile account-b "${stack[@]}")
          name=$(jq -r '.[] | select(.OutputKey == "CallerFunctionName").OutputValue' <<<"$outputs")
          call=(--payload fileb://events/direct-call.json response.json)
          aws lambda invoke --profile account-b --function-name "$name" "${call[@]}" >result.json
          cat response.json
          jq -e 'has("FunctionError") | not' result.json
"""

_TESTED = _sub(r"sudo bash \.ci/run", "make check test access")

# Our files and what is taken out of each; then "Orders" and "orders" are renamed.
_DERIVED: dict[str, Iterable[Callable[[str], str]]] = {
    "template-account-a.yaml": (
        _dashboard,
        _drop(2, "ProtectTables:", "OrdersTable:", "IdempotencyTable:", "StoreThrottledAlarm:"),
        _drop(6, "- Label: {default: Data}", "ProtectTables: {"),
        _drop(8, "CreateOrder:", "GetOrder:", "CancelOrder:"),
        _drop(10, "ORDERS_TABLE:", "IDEMPOTENCY_TABLE:"),
        _drop(14, "- Sid: StoreOrders", "- Sid: ListOrders", "- Sid: RecordIdempotencyKeys"),
        _sub(r"^ +- !Sub \S+/POST/orders\n"),
        _sub(r"^ +# The asterisk also .*\n +- !Sub \S+/GET/orders/\*\n"),
        _sub(r"^  # --- Data: .*\n\n"),
        _sub(r"(?<=look at OrdersFunction) and DynamoDB"),
        _sub(r"orders\.handler", "backend.handler"),
    ),
    "functions/Makefile": (
        _sub(r"Function: PACKAGES := orders .*", "Function: PACKAGES := backend"),
        _sub(r"PACKAGES := cross_account_caller .*", "PACKAGES := caller"),
        _sub(r"packages named here and the pinned requirements of the first of them", "folder named here and its pins"),
        _sub(r"^PYTHON := .*\n", "\\g<0>WHEELS := $(dir $(abspath $(firstword $(MAKEFILE_LIST))))../wheels\n"),
        _sub(r"--only-binary=:all: ", '\\g<0>--find-links "$(WHEELS)" '),
        _sub(r'(rm -rf "\$\(ARTIFACTS_DIR\)/bin")', r'\1 "$(ARTIFACTS_DIR)/call_api"'),
    ),
    ".github/actions/access-diff/action.yml": (
        _sub(r"\$TOOL/requirements-access\.txt", "$TOOL/../../../requirements.txt"),
        _sub(r"--only-binary \":all:\"", '\\g<0> --find-links "$TOOL/../../../wheels"'),
    ),
    ".github/requirements.txt": (),
    ".github/workflows/deploy.yaml": (
        _TESTED,
        _sub(r"^  # It needs the project's packages, .*\n"),
        _sub(r"(?<=persist-credentials: false\n)      - run: make setup\n"),
        _sub(
            r"^      - run: \.venv/bin/python -m pytest tests/lab/deployed\n.*\n.*\n", _SMOKE_TEST.replace("\\", r"\\")
        ),
        # The script is in the wheel; the job installs SAM CLI only.
        _sub(
            r"python \.github/deploy\.py",
            "PYTHONPATH=$(echo wheels/cross_account_api_dev-*.whl) python -m cross_account_project.deploy",
        ),
        _sub(r"docs/deploy\.md says what the environments", "The environments"),
        _sub(r"(?<=hold) \(variables, reviewers\) and how to make the roles", " variables and reviewers"),
    ),
    ".github/workflows/test.yaml": (
        _TESTED,
        _sub(r"\./\.judge ", "./.judge/.github/actions/access-diff "),
        _sub(r"\.ci \.github Makefile .*\)", ".github Makefile requirements.txt template-deploy-role.yaml wheels)"),
    ),
    ".python-version": (),
    "template-account-b.yaml": (),
    "template-access.yaml": (),
    "template-deploy-role.yaml": (),
    "samconfig.toml": (),
}

_OWN = {
    ".gitignore": "gitignore",
    "Makefile": "Makefile",
    "README.md": "README.md",
    "docs/openapi.yaml": "openapi.yaml",
    "events/direct-call.json": "direct-call.json",
    "events/scheduled-call.json": "scheduled-call.json",
    "functions/backend/handler.py": "handler.py",
    "pyproject.toml": "pyproject.toml",
    "tests/test_handler.py": "test_handler.py",
}
