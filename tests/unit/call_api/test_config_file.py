"""The AWS configuration file: one profile changes, and nothing else does."""

from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.configloader import load_config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from call_api.config_file import edit_profile, read_file, write_file

FILE = """\
# the company's settings
[default]
region = eu-central-1

[profile orders] ; written by hand
# the old role
role_arn = arn:aws:iam::111111111111:role/old
s3 =
  max_concurrent_requests = 20
  # slow line
  addressing_style = path
output: json

# what follows is the build's
[profile build]
role_arn = arn:aws:iam::999999999999:role/build
"""


S3 = "s3 =\n  max_concurrent_requests = 20\n  # slow line\n  addressing_style = path\noutput: json\n"


@pytest.mark.parametrize(
    ("text", "profile", "settings", "edited"),
    [
        (FILE, "orders", {"role_arn": "new"}, FILE.replace("arn:aws:iam::111111111111:role/old", "new")),
        (FILE, "orders", {"external_id": "x"}, FILE.replace("output: json\n", "output: json\nexternal_id = x\n")),
        (FILE, "orders", {"s3": "", "output": "", "mfa_serial": ""}, FILE.replace(S3, "  # slow line\n")),
        (FILE, "other", {"region": "eu-west-1"}, f"{FILE}\n[profile other]\nregion = eu-west-1\n"),
        ("", "default", {"region": "x"}, "[default]\nregion = x\n"),
        ("[default]\na=b", "other", {"c": "d"}, "[default]\na=b\n\n[profile other]\nc = d\n"),
        ("[profile x]", "x", {"c": "d"}, "[profile x]\nc = d\n"),
    ],
)
def test_one_profile_changes(text: str, profile: str, settings: dict[str, str], edited: str) -> None:
    assert edit_profile(text, profile, settings) == edited


def test_line_endings_stay() -> None:
    text = FILE.replace("\n", "\r\n")

    assert edit_profile(text, "orders", {"role_arn": "new", "a": "b"}).count("\r\n") == text.count("\r\n") + 1
    assert edit_profile(text, "new", {"a": "b"}).replace("\r\n", "").count("\n") == 0


NAMES = st.sampled_from(["default", "orders", "build", "orders-2", "Orders", "a b"])
KEYS = st.sampled_from(["role_arn", "external_id", "region", "mfa_serial", "s3", "Region2", "api_url"])
VALUES = st.sampled_from(["x", "a=b", "a:b", "[profile orders]", "# no comment", "ü", "arn:aws:iam::1:role/x"])
NOISE = st.sampled_from(["", "# comment", "; comment [default]", "  # indented", "#[profile orders]"])
HEADERS: dict[str, list[str]] = {"default": ["[default]", "[default] # x"]}


@st.composite
def option(draw: Callable[..., str], key: str) -> str:
    equals = draw(st.sampled_from([" = ", "=", ": ", " =  "]))
    if draw(st.booleans()):
        return f"{key}{equals}{draw(VALUES)}"
    return "\n".join([f"{key} =", "  max_queue_size = 1", *[f"  {draw(NOISE)}" for _ in range(2)], "  other = 2"])


@st.composite
def section(draw: Callable[..., str], name: str) -> str:
    quoted = f'[profile "{name}"]'
    header = draw(st.sampled_from(HEADERS.get(name, [quoted] if " " in name else [f"[profile {name}]", quoted])))
    lines = [header]
    for key in draw(st.lists(KEYS, unique_by=str.lower, max_size=4)):
        lines += [draw(NOISE), draw(option(key))]
    return "\n".join([*lines, draw(NOISE)])


@st.composite
def files(draw: Callable[..., str]) -> str:
    names = draw(st.lists(NAMES, unique=True, max_size=4))
    parts = [draw(NOISE), *[draw(section(name)) for name in names]]
    if draw(st.booleans()):
        parts.append("[sso-session company]\nsso_region = eu-west-1")
    text = "\n".join(parts) + draw(st.sampled_from(["", "\n", "\n\n"]))
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


def parsed(folder: Path, text: str) -> dict[str, dict[str, object]]:
    path = folder / "config"
    path.write_bytes(text.encode())
    profiles: dict[str, dict[str, object]] = load_config(str(path))["profiles"]
    return profiles


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=files(),
    profile=st.sampled_from(["default", "orders", "new", "own"]),
    changes=st.dictionaries(KEYS.map(str.lower), st.sampled_from(["", "new", "a = b : c"]), max_size=4),
)
def test_whatever_the_file_only_the_profile_changes(
    tmp_path: Path, text: str, profile: str, changes: dict[str, str]
) -> None:
    start, end = f"{text}\n# own section\n[profile own]\n", "[profile last]\na = b\n"
    text = f"{start}region = x\n{end}"
    before = parsed(tmp_path, text)

    edited = edit_profile(text, profile, changes)

    after = parsed(tmp_path, edited)
    kept = {name: value for name, value in before.get(profile, {}).items() if name not in changes}
    assert after.pop(profile) == kept | {name: value for name, value in changes.items() if value}
    assert after == {name: values for name, values in before.items() if name != profile}
    comments = [line for line in text.splitlines() if line.strip().startswith(("#", ";"))]
    assert [line for line in edited.splitlines() if line.strip().startswith(("#", ";"))] == comments
    assert edit_profile(edited, profile, changes) == edited
    assert profile != "own" or (edited.startswith(start) and edited.endswith(end)), "every byte of other sections stays"


def test_bytes_that_are_not_utf_8_stay(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"# M\xfcller\n[default]\na = b\n")

    write_file(path, edit_profile(read_file(path), "default", {"a": "c"}))

    assert path.read_bytes() == b"# M\xfcller\n[default]\na = c\n"


def test_one_copy_of_the_file_as_it_was_is_kept_with_its_mode(tmp_path: Path) -> None:
    path, backup = tmp_path / "config", tmp_path / "config.call-api.bak"
    path.write_text("1")
    path.chmod(0o640)

    assert [write_file(path, text) for text in ("2", "3")] == [backup, backup]
    assert (path.read_text(), backup.read_text()) == ("3", "2")
    assert [file.stat().st_mode & 0o777 for file in (path, backup)] == [0o640, 0o640]
    assert sorted(tmp_path.iterdir()) == [path, backup]


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / ".aws" / "config"

    assert read_file(path) == ""
    assert write_file(path, "text") is None
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").write_text("old")
    (tmp_path / "config").symlink_to("dotfiles")

    write_file(tmp_path / "config", "new")

    assert (tmp_path / "config").is_symlink()
    assert (tmp_path / "dotfiles").read_text() == "new"


def test_a_failure_leaves_the_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "config"
    monkeypatch.setattr("pathlib.Path.replace", fail)

    with pytest.raises(OSError, match="No space left"):
        write_file(path, "new")

    assert list(tmp_path.iterdir()) == []
