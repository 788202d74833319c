"""A report says the same in every form, names what it left out, and lets no text of a template out of its place."""

import io
import json
import re

import pytest
from rich.console import Console

from cross_account_access import changes
from cross_account_access.engine.case import Case, Principal
from cross_account_access.engine.diff import Change, NotJudged, Report

ANYONE = Principal("anyone", "", "Anonymous", "")
SEND = Case(ANYONE, "sqs:SendMessage", "arn:aws:sqs:eu-west-1:111111111111:q")
GAIN = Change(
    True, "one.yaml", "anyone on the internet", "sqs:SendMessage on Queue", SEND, "LogLevel = DEBUG", "Nothing.",
    "Open.", ("Queue resource: Open",), 3,
)  # fmt: skip
LOSS = Change(False, "one.yaml", "sessions of Role", "s3:GetObject on Bucket")
UNKNOWN = NotJudged("two.yaml", "Thing", "AWS::Foo::Bar is a type that is not known", "AWS::Foo::Bar")
COMPARED = {"templates": 1, "resources": 5, "statements": 7, "parameters": 2}
HELD = ("everything outside these templates",)


def report(*found: Change, unknown: tuple[NotJudged, ...] = (), accepted: tuple[NotJudged, ...] = ()) -> Report:
    return Report(found, unknown, COMPARED, HELD, accepted)


def printed(found: Report) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(changes.terminal(found))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (report(), "No change of access in what was compared."),
        (report(GAIN, LOSS), "Access gained: 4. Access lost: 1."),
        (report(GAIN, unknown=(UNKNOWN,)), "Access gained: 4. Access lost: 0. Not judged: 1."),
        (report(unknown=(UNKNOWN,)), "Not judged: 1."),
    ],
)
def test_every_form_says_the_result_and_what_it_speaks_of(found: Report, sentence: str) -> None:
    assert changes.summary(found) == sentence
    assert json.loads(changes.as_json(found, "a", "b"))["summary"] == sentence
    for text in (printed(found), changes.markdown(found, "a", "b")):
        assert sentence in text
        assert "Compared: 1 template, 5 resources, 7 statements, 2 parameters" in text
        assert HELD[0] in text


def test_people_see_who_what_where_why_and_how_much_more() -> None:
    said = (GAIN.who, GAIN.what, GAIN.where, GAIN.before, GAIN.after, *GAIN.decided_by, str(SEND), LOSS.who, LOSS.what)
    for text in (printed(report(GAIN, LOSS)), changes.markdown(report(GAIN, LOSS), "a", "b")):
        lines = text.replace("\\_", "_")
        assert [expected for expected in (*said, "3 more") if expected not in lines] == []
        assert lines.index(GAIN.who) < lines.index(LOSS.who)


def test_what_is_not_judged_and_what_is_accepted_have_their_names() -> None:
    found = report(unknown=(UNKNOWN,), accepted=(NotJudged("one.yaml", "Other", "AWS::Foo::Baz is new"),))
    for text in (printed(found), changes.markdown(found, "a", "b"), changes.as_json(found, "a", "b")):
        for expected in ("Thing", UNKNOWN.what, "Other", "AWS::Foo::Baz is new", "accepted"):
            assert expected in text


def test_people_are_told_how_many_lines_are_left_out_and_programs_get_all() -> None:
    many = [Change(True, "one.yaml", "anyone on the internet", f"sqs:Action{number} on Queue") for number in range(45)]
    for text in (printed(report(*many, LOSS)), changes.markdown(report(*many, LOSS), "a", "b")):
        assert "and 5 more gained" in text
        assert LOSS.what in text
    assert len(json.loads(changes.as_json(report(*many), "a", "b"))["changes"]) == 45
    assert len(json.loads(changes.sarif(report(*many), {}))["runs"][0]["results"]) == 45


def test_text_of_a_template_stays_text() -> None:
    evil = "x` | <img src=x> [bold]*y*\n## z"
    found = report(
        Change(True, "one.yaml", evil, evil, None, evil, evil, evil, (evil,)), unknown=(NotJudged("t", evil, evil),)
    )
    text = changes.markdown(found, "a", "b")
    outside = re.sub(r"`[^`\n]*`", "", text.replace("\\`", "").replace("\\|", ""))
    assert "\n## z" not in text
    assert not re.search(r"(?<!\\)<img", outside)
    rows = [line for line in text.replace("\\|", "").splitlines() if line.startswith("| **gained**")]
    assert [row.count("|") for row in rows] == [6]
    assert "[bold]" in printed(found)


def test_sarif_has_a_rule_a_level_a_line_and_a_stable_fingerprint() -> None:
    texts = {
        "one.yaml": "Resources:\n  Other:\n    Type: a\n  Queue:\n    Type: b\n",
        "two.yaml": "Resources:\n  Thing: {}\n",
    }
    found = report(GAIN, LOSS, unknown=(UNKNOWN,))
    [run] = json.loads(changes.sarif(found, texts))["runs"]
    rules = {rule["id"]: rule["defaultConfiguration"]["level"] for rule in run["tool"]["driver"]["rules"]}
    assert [(item["ruleId"], item["level"]) for item in run["results"]] == [
        ("access-gained", "error"),
        ("access-lost", "note"),
        ("access-not-judged", "warning"),
    ]
    assert all(rules[item["ruleId"]] == item["level"] for item in run["results"])
    places = [item["locations"][0]["physicalLocation"] for item in run["results"]]
    found_at = [(place["artifactLocation"]["uri"], place["region"]["startLine"]) for place in places]
    assert found_at == [("one.yaml", 4), ("one.yaml", 1), ("two.yaml", 2)]
    assert "LogLevel = DEBUG" in run["results"][0]["message"]["text"]
    moved = json.loads(changes.sarif(found, {}))["runs"][0]["results"]
    assert [item["partialFingerprints"] for item in moved] == [item["partialFingerprints"] for item in run["results"]]
