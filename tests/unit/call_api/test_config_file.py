"""The AWS configuration file: one profile changes, and nothing else does."""

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


HEADERS = ["[default] # x", "[profile orders]", '[profile "orders"]', "[profile Orders]", "[sso-session company]"]
LINES = [
    *("role_arn = x", "region: a=b", "Region2=[profile orders]", "mfa_serial =  # no comment", "api_url = ü"),
    *("", "# comment", "; comment [default]", "#[profile orders]"),
    "s3 =\n  max_queue_size = 1\n  # indented\n  other = 2",
]
sections = st.tuples(st.sampled_from(HEADERS), st.lists(st.sampled_from(LINES), unique=True, max_size=5))
files = st.lists(sections, unique_by=lambda section: section[0].replace('"', ""), max_size=4).map(
    lambda found: "".join("\n".join([header, *lines, ""]) for header, lines in found)
)


def parsed(folder: Path, text: str) -> dict[str, dict[str, object]]:
    path = folder / "config"
    path.write_bytes(text.encode())
    profiles: dict[str, dict[str, object]] = load_config(str(path))["profiles"]
    return profiles


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=files,
    newline=st.sampled_from(["\n", "\r\n"]),
    profile=st.sampled_from(["default", "orders", "new", "own"]),
    changes=st.dictionaries(
        st.sampled_from(["role_arn", "region", "region2", "s3", "external_id"]),
        st.sampled_from(["", "new", "a = b : c"]),
    ),
)
def test_whatever_the_file_only_the_profile_changes(
    tmp_path: Path, text: str, newline: str, profile: str, changes: dict[str, str]
) -> None:
    start, end = f"# first\n{text}\n# own section\n[profile own]\n", "[profile last]\na = b\n"
    start, end = start.replace("\n", newline), end.replace("\n", newline)
    text = f"{start}region = x{newline}{end}"
    before = parsed(tmp_path, text)

    edited = edit_profile(text, profile, changes)

    after = parsed(tmp_path, edited)
    kept = {name: value for name, value in before.get(profile, {}).items() if name not in changes}
    assert after.pop(profile) == kept | {name: value for name, value in changes.items() if value}
    assert after == {name: values for name, values in before.items() if name != profile}
    comments = [line for line in text.splitlines() if line.strip().startswith(("#", ";"))]
    assert [line for line in edited.splitlines() if line.strip().startswith(("#", ";"))] == comments
    assert edited.count("\n") == edited.count(newline)
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
