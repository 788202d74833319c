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
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest
from packaging.metadata import Metadata

from cross_account_access.contract import CONTRACT
from cross_account_access.project import PROJECT
from cross_account_api import __version__
from cross_account_lab.accounts import ACCOUNT_A
from cross_account_lab.lab import Lab
from cross_account_project.wheels import find_wheels

VERSIONS = ("3.14", "3.13", "3.12", "3.11")
DIST = os.environ.get("DIST")

PROGRAM = """
import json, os
from cross_account_api import Client, ForbiddenError

with Client(os.environ["API_URL"], role_arn=os.environ["EXECUTOR_ROLE_ARN"], external_id=os.environ["EXTERNAL_ID"],
            region="eu-west-1") as client:
    granted = client.get("/whoami")
    try:
        client.get("/not/granted")
    except ForbiddenError as error:
        refused = error
print(json.dumps([granted.status, granted.attempts, refused.status]))
"""


@cache
def pythons() -> dict[str, Path]:
    """Return a working Python of each version, from PATH or from pyenv, as far as there is one."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    return {
        version: Path(path)
        for version in VERSIONS
        for path in (*root.glob(f"versions/{version}.*/bin/python"), shutil.which(f"python{version}"))
        if path and subprocess.run([path, "-m", "venv", "--help"], capture_output=True, check=False).returncode == 0
    }


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


def development_of(wheel: Path) -> Path:
    """The development wheel beside the runtime's."""
    return next(wheel.parent.glob("cross_account_api_dev-*.whl"))


def run(
    command: Sequence[str | Path], environment: Mapping[str, str], folder: Path | None = None, code: int = 0
) -> str:
    """Run a command, and return its output, or its errors if it has to fail."""
    env = {"PATH": os.environ["PATH"], **environment}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


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
        hatchling = [sys.executable, "-m", "hatchling", "build"]
        command = [*hatchling, "--target", target, "--directory", str(tmp_path / target)]
        subprocess.run(command, cwd=source, check=True, capture_output=True)
        [built] = (tmp_path / target).iterdir()
        return built

    shutil.unpack_archive(build("sdist", PROJECT / folder), tmp_path / "unpacked", filter="data")
    [source] = (tmp_path / "unpacked").iterdir()
    wheel = build("wheel", source)

    assert set(zipfile.ZipFile(wheel).namelist()) == set(zipfile.ZipFile(BytesIO(wheels[wheel.name])).namelist())


def test_the_python_to_try_is_there() -> None:
    assert os.environ.get("PYTHON_VERSION", "3.13") in pythons()


def uv(*arguments: str | Path) -> None:
    run([Path(sys.executable).parent / "uv", "--quiet", *arguments], os.environ)


def environment_with(folder: Path, version: str, wheels: Sequence[Path], *requirements: str | Path) -> Path:
    """Make a clean environment with wheels, and nothing else but these requirements; return its folder of programs."""
    uv("venv", "--python", pythons()[version], folder)
    if requirements:
        uv("pip", "install", "--python", folder / "bin/python", *requirements)
    uv("pip", "install", "--python", folder / "bin/python", "--no-deps", *wheels)
    return folder / "bin"


RUNTIME = ("--requirement", PROJECT / "functions/pyproject.toml")


@pytest.fixture(scope="session")
def newest(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime with the newest Python and dependencies."""
    return environment_with(tmp_path_factory.mktemp("newest") / "venv", next(iter(pythons())), [wheel], *RUNTIME)


@pytest.fixture(scope="session")
def oldest(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime with the oldest Python and dependencies that pyproject.toml allows."""
    oldest = (*RUNTIME, "--resolution", "lowest-direct")
    return environment_with(tmp_path_factory.mktemp("oldest") / "venv", [*pythons()][-1], [wheel], *oldest)


@pytest.mark.parametrize("age", ["oldest", "newest"])
def test_a_clean_environment_calls_the_api(lab: Lab, tmp_path: Path, age: str, request: pytest.FixtureRequest) -> None:
    programs: Path = request.getfixturevalue(age)
    environment = {
        **lab.environment,
        "HOME": str(tmp_path),
        "AWS_PROFILE": "my-user",
        "API_URL": lab.api_url,
        "EXECUTOR_ROLE_ARN": lab.outputs[ACCOUNT_A]["ExecutorRoleArn"],
        "EXTERNAL_ID": lab.outputs[ACCOUNT_A]["ExternalId"],
    }

    program = run([programs / "python", "-W", "error", "-c", PROGRAM], environment)
    by_hand = run(
        [programs / "call-api", "GET", "/whoami", "--output", "json"], {**environment, "AWS_PROFILE": "orders"}
    )

    assert json.loads(program) == [200, 1, 403]
    assert json.loads(by_hand)["status"] == 200


def test_the_proofs_alone_run_with_the_oldest_packages(wheel: Path, tmp_path: Path) -> None:
    requirements = ("--resolution", "lowest-direct", "--requirement", PROJECT / "pyproject.toml", "--extra", "access")
    programs = environment_with(tmp_path / "venv", "3.13", [development_of(wheel)], *requirements)
    for path in (*PROJECT.glob("template-*.yaml"), PROJECT / CONTRACT, PROJECT / "samconfig.toml"):
        copy = tmp_path / path.relative_to(PROJECT)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)

    done = run([programs / "python", "-W", "error", "-m", "cross_account_access"], {"HOME": str(tmp_path)}, tmp_path)

    assert "Access is as the contract says" in done


def test_the_installed_command_makes_a_project_with_the_same_wheels(wheel: Path, tmp_path: Path) -> None:
    originals = [wheel, development_of(wheel)]
    programs = environment_with(tmp_path / "venv", "3.13", originals)
    project = tmp_path / "shop"

    run([programs / "cross-account-api", "init", project, "shop"], {"HOME": str(tmp_path)})

    for original in originals:
        ours, theirs = zipfile.ZipFile(original), zipfile.ZipFile(project / "wheels" / original.name)
        record = next(name for name in ours.namelist() if name.endswith("RECORD"))
        assert set(theirs.namelist()) == set(ours.namelist())
        assert all(theirs.read(name) == ours.read(name) for name in ours.namelist() if name != record)
    uv("pip", "install", "--no-deps", "--target", tmp_path / "again", *(project / "wheels").iterdir())


LOGIN = "arn:aws:iam::222222222222:user/my-user"


def test_a_profile_of_aws_login_works_with_the_extra_and_says_so_without(
    wheel: Path, newest: Path, lab: Lab, tmp_path: Path
) -> None:
    """The profile and the cache as `aws login` writes them, used directly and as a role's source."""
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
    environment = {"HOME": str(tmp_path), "AWS_CONFIG_FILE": str(config), "API_URL": lab.api_url}
    by_option = {"EXECUTOR_ROLE_ARN": role["ExecutorRoleArn"], "EXTERNAL_ID": role["ExternalId"]}
    call: list[str | Path] = [newest / "call-api", "GET", "/whoami", "--output", "json"]

    without = run(call, environment | by_option | {"AWS_PROFILE": "me"}, code=3)
    assert 'pip install "botocore[crt]"' in without
    uv("pip", "install", "--python", newest / "python", f"{wheel}[login]")
    for settings in (by_option | {"AWS_PROFILE": "me"}, {"AWS_PROFILE": "in-role"}):
        assert json.loads(run(call, environment | settings))["status"] == 200


if __name__ == "__main__":
    sys.stdout.writelines(contents(find_wheels(None)))
