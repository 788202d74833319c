"""The wheel, installed in clean environments and used against the deployed lab."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from packaging.metadata import Metadata

from cross_account_access.contract import CONTRACT
from cross_account_access.model import Model, load
from cross_account_access.project import PROJECT
from cross_account_api import __version__
from cross_account_lab.accounts import ACCOUNT_A
from cross_account_lab.lab import Lab
from cross_account_project.wheels import find_wheels

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
DIST = os.environ.get("DIST")

PROGRAM = """
import json, os
from cross_account_api import Client, ForbiddenError

with Client(os.environ["API_URL"], role_arn=os.environ["EXECUTOR_ROLE_ARN"], external_id=os.environ["EXTERNAL_ID"],
            region="eu-west-1") as client:
    granted = client.get(os.environ["GRANTED_PATH"])
    try:
        client.get("/not/granted")
    except ForbiddenError as error:
        refused = error
print(json.dumps([granted.status, granted.attempts, refused.status]))
"""


def interpreter(version: str) -> Path | None:
    """Return a working Python of a version, from PATH or from pyenv."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    candidates = [shutil.which(f"python{version}"), *sorted(root.glob(f"versions/{version}.*/bin/python"))]
    for path in candidates:
        if path and subprocess.run([path, "-m", "venv", "--help"], capture_output=True, check=False).returncode == 0:
            return Path(path)
    return None


@pytest.fixture(scope="session")
def wheels() -> dict[str, bytes]:
    """Both wheels by file name: of the repository, or as a release has built them (DIST)."""
    return find_wheels(Path(DIST) if DIST else None)


@pytest.fixture(scope="session")
def wheel(wheels: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime's wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    for name, content in wheels.items():
        (folder / name).write_bytes(content)
    return next(folder.glob("cross_account_api-*.whl"))


@pytest.fixture(scope="session")
def model() -> Model:
    return load()


def run(
    command: list[str | Path], environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": environment["HOME"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_each_wheel_holds_what_is_listed(wheels: dict[str, bytes]) -> None:
    """`contents.txt` is written anew with `python -m tests.lab.wheel.test_wheel >tests/lab/wheel/contents.txt`."""
    assert "".join(contents(wheels)) == (Path(__file__).parent / "contents.txt").read_text()


def contents(wheels: dict[str, bytes]) -> Iterator[str]:
    for name, content in wheels.items():
        yield f"{name.partition('-')[0]}\n"
        for path in sorted(zipfile.ZipFile(BytesIO(content)).namelist()):
            yield f"  {path.replace(__version__, 'VERSION')}\n"


def test_versions_metadata_and_changelog_agree(wheels: dict[str, bytes]) -> None:
    for name, content in wheels.items():
        wheel = zipfile.ZipFile(BytesIO(content))
        [path] = [path for path in wheel.namelist() if path.endswith(".dist-info/METADATA")]
        metadata = Metadata.from_email(wheel.read(path), validate=True)
        assert (metadata.name.replace("-", "_"), str(metadata.version)) == (name.partition("-")[0], __version__)
        assert metadata.description_content_type == "text/markdown"
    [newest, *_] = re.findall(r"^## \[(.+?)\]", (PROJECT / "CHANGELOG.md").read_text(), re.M)
    assert newest == __version__


@pytest.mark.parametrize("folder", ["functions", "."])
def test_the_source_distribution_builds_the_same_wheel(folder: str, wheels: dict[str, bytes], tmp_path: Path) -> None:
    def build(target: str, source: Path) -> Path:
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "hatchling",
            "build",
            "--target",
            target,
            "--directory",
            tmp_path / target,
        ]
        subprocess.run(command, cwd=source, check=True, capture_output=True)
        [built] = (tmp_path / target).iterdir()
        return built

    shutil.unpack_archive(build("sdist", PROJECT / folder), tmp_path / "unpacked", filter="data")
    [source] = (tmp_path / "unpacked").iterdir()
    wheel = build("wheel", source)

    assert set(zipfile.ZipFile(wheel).namelist()) == set(zipfile.ZipFile(BytesIO(wheels[wheel.name])).namelist())


FOUND = {version: path for version in VERSIONS if (path := interpreter(version))}


def test_the_python_to_try_is_there() -> None:
    assert os.environ.get("PYTHON_VERSION", "3.13") in FOUND


def install(venv: Path, version: str, wheel: str, *options: str, requirements: Sequence[str | Path] = ()) -> None:
    """Make a clean environment with a wheel; with its requirements before it, if they are to be of another age."""
    uv: list[str | Path] = [Path(sys.executable).parent / "uv", "--quiet"]
    into: list[str | Path] = ["pip", "install", "--python", venv / "bin/python"]
    commands: list[list[str | Path]] = [["venv", "--python", FOUND[version], venv], [*into, *options, wheel]]
    if requirements:
        commands.insert(1, [*into, *requirements])
    for command in commands:
        done = subprocess.run([*uv, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


# The newest dependencies, and the oldest that pyproject.toml allows.
ENDS = [*((version, "highest") for version in FOUND), (min(FOUND, key=VERSIONS.index), "lowest-direct")]


@pytest.mark.parametrize(("version", "end"), ENDS)
def test_a_clean_environment_calls_the_api(
    wheel: Path, lab: Lab, model: Model, tmp_path: Path, version: str, end: str
) -> None:
    venv = tmp_path / "venv"
    requirements = ("--resolution", end, "--requirement", PROJECT / "functions/pyproject.toml")
    install(venv, version, str(wheel), "--no-deps", requirements=requirements)
    path = next(
        route.path for route in model.routes if route.granted and route.method == "GET" and "{" not in route.path
    )
    environment = {
        **lab.environment,
        "HOME": str(tmp_path),
        "AWS_PROFILE": "my-user",
        "API_URL": lab.api_url,
        "EXECUTOR_ROLE_ARN": lab.outputs[ACCOUNT_A]["ExecutorRoleArn"],
        "EXTERNAL_ID": lab.outputs[ACCOUNT_A]["ExternalId"],
        "GRANTED_PATH": path,
    }

    program = run([venv / "bin/python", "-W", "error", "-c", PROGRAM], environment)
    by_hand = run([venv / "bin/call-api", "GET", path, "--output", "json"], {**environment, "AWS_PROFILE": "orders"})

    assert program.returncode == 0, program.stderr
    assert json.loads(program.stdout) == [200, 1, 403]
    assert by_hand.returncode == 0, by_hand.stderr
    assert json.loads(by_hand.stdout)["status"] == 200


@pytest.mark.parametrize("end", ["highest", "lowest-direct"])
def test_the_proofs_alone_run_in_a_clean_environment(wheel: Path, tmp_path: Path, end: str) -> None:
    [development] = wheel.parent.glob("cross_account_api_dev-*.whl")
    requirements = ("--resolution", end, "--requirement", PROJECT / "pyproject.toml", "--extra", "access")
    install(tmp_path / "venv", "3.13", str(development), "--no-deps", requirements=requirements)
    for path in (*PROJECT.glob("template-*.yaml"), PROJECT / CONTRACT, PROJECT / "samconfig.toml"):
        copy = tmp_path / path.relative_to(PROJECT)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)

    command: list[str | Path] = [tmp_path / "venv/bin/python", "-W", "error", "-m", "cross_account_access"]
    done = run(command, {"HOME": str(tmp_path)}, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Access is as the contract says" in done.stdout


def test_the_installed_command_makes_a_project_with_the_same_wheels(wheel: Path, tmp_path: Path) -> None:
    install(tmp_path / "venv", "3.13", str(wheel), "--no-deps")
    [development] = wheel.parent.glob("cross_account_api_dev-*.whl")
    uv: list[str | Path] = [Path(sys.executable).parent / "uv", "--quiet", "pip", "install", "--no-deps"]
    subprocess.run([*uv, "--python", tmp_path / "venv/bin/python", development], check=True)
    project = tmp_path / "shop"

    done = run([tmp_path / "venv/bin/cross-account-api", "init", project, "shop"], {"HOME": str(tmp_path)})

    assert done.returncode == 0, done.stdout + done.stderr
    for original in (wheel, development):
        ours, theirs = zipfile.ZipFile(original), zipfile.ZipFile(project / "wheels" / original.name)
        record = next(name for name in ours.namelist() if name.endswith("RECORD"))
        assert set(theirs.namelist()) == set(ours.namelist())
        assert all(theirs.read(name) == ours.read(name) for name in ours.namelist() if name != record)
    again: list[str | Path] = [*uv, "--target", tmp_path / "again", *(project / "wheels").iterdir()]
    assert subprocess.run(again, capture_output=True, check=False).returncode == 0


LOGIN = "arn:aws:iam::222222222222:user/my-user"


@pytest.mark.parametrize("extra", ["", "[login]"])
def test_a_profile_of_aws_login_works_with_the_extra_and_says_so_without(
    wheel: Path, lab: Lab, model: Model, tmp_path: Path, extra: str
) -> None:
    """The profile and the cache as `aws login` writes them, used directly and as a role's source."""
    version = max(FOUND, key=VERSIONS.index)
    install(tmp_path / "venv", version, f"{wheel}{extra}")
    session = lab.session(lab.user_key).client("sts").get_session_token()["Credentials"]
    token = {
        "accessToken": {
            "accessKeyId": session["AccessKeyId"],
            "secretAccessKey": session["SecretAccessKey"],
            "sessionToken": session["SessionToken"],
            "accountId": "222222222222",
            "expiresAt": "2099-01-01T00:00:00Z",
        },
        "refreshToken": "refresh",
        "dpopKey": "key",
        "clientId": "client",
    }
    cache = tmp_path / ".aws/login/cache"
    cache.mkdir(parents=True)
    (cache / f"{hashlib.sha256(LOGIN.encode()).hexdigest()}.json").write_text(json.dumps(token))
    role = lab.outputs[ACCOUNT_A]
    location = f"region = eu-west-1\nendpoint_url = {lab.endpoint}\nca_bundle = {lab.ca_file}\n"
    config = tmp_path / "config"
    config.write_text(
        f"[profile me]\nlogin_session = {LOGIN}\n{location}"
        f"[profile in-role]\nsource_profile = me\nrole_arn = {role['ExecutorRoleArn']}\n"
        f"external_id = {role['ExternalId']}\nrole_session_name = 222222222222-me\n{location}"
    )
    path = next(r.path for r in model.routes if r.granted and r.method == "GET" and "{" not in r.path)
    environment = {"HOME": str(tmp_path), "AWS_CONFIG_FILE": str(config), "API_URL": lab.api_url}
    by_option = {"EXECUTOR_ROLE_ARN": role["ExecutorRoleArn"], "EXTERNAL_ID": role["ExternalId"]}
    for profile, more in (("me", by_option), ("in-role", {})):
        done = run(
            [tmp_path / "venv/bin/call-api", "GET", path, "--output", "json"],
            environment | more | {"AWS_PROFILE": profile},
        )
        if extra:
            assert done.returncode == 0, done.stdout + done.stderr
            assert json.loads(done.stdout)["status"] == 200
        else:
            assert done.returncode == 3
            assert 'pip install "botocore[crt]"' in done.stderr


if __name__ == "__main__":
    sys.stdout.writelines(contents(find_wheels(None)))
