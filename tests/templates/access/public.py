"""Measure the comparison on a collection of other people's templates: `python -m tests.templates.access.public FOLDER`.

For example a checkout of https://github.com/aws-samples/serverless-patterns. Every `template.yaml` and `template.yml`
below the folder is compared with itself, written otherwise and with a queue more, which must be no change, and with
itself plus one grant, which must be a gain.
"""

# ruff: noqa: T201
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from cross_account_access.engine.diff import diff
from cross_account_access.engine.sources import UnreadableError, load, of_folder
from tests.templates.access.edits.rewrites import renamed_statements, reversed_resources, reversed_statements

OPEN = {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}
ADMINISTRATOR = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
POLICIES = {"AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::S3::BucketPolicy"}


def seeds(resources: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the template's resources with one grant more, each kind of place once, and what the place is."""
    for name, resource in resources.items():
        properties = resource.get("Properties") or {}
        match resource["Type"]:
            case "AWS::IAM::Role" if isinstance(properties.get("AssumeRolePolicyDocument"), dict):
                changed = deepcopy(dict(properties))
                _statements(changed["AssumeRolePolicyDocument"]).append(OPEN)
                yield "a role's trust", _with(resources, name, changed)
            case "AWS::Serverless::Function" if "Role" not in properties and _is_list(properties.get("Policies", [])):
                policies = [*properties.get("Policies", []), ADMINISTRATOR]
                yield "a function's policies", _with(resources, name, {**properties, "Policies": policies})
            case kind if kind in POLICIES and isinstance(properties.get("PolicyDocument"), dict):
                changed = deepcopy(dict(properties))
                _statements(changed["PolicyDocument"]).append({**OPEN, "Action": "*", "Resource": "*"})
                yield "a resource's policy", _with(resources, name, changed)
    role = {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [OPEN]}}
    yield "a new role", {**resources, "SeededRole": {"Type": "AWS::IAM::Role", "Properties": role}}


def _statements(document: dict[str, Any]) -> list[Any]:
    statements = document.get("Statement", [])
    document["Statement"] = statements if isinstance(statements, list) else [statements]
    return document["Statement"]  # type: ignore[no-any-return]


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _with(resources: Mapping[str, Any], name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {**resources, name: {**resources[name], "Properties": properties}}


def main(folder: Path) -> int:
    """Print the figures, and what was not right."""
    counts: Counter[str] = Counter()
    seconds: list[float] = []

    def odd(what: str, name: str, reason: object) -> None:
        counts[what] += 1
        print(f"{what}: {name}: {reason}")

    for path in sorted([*folder.rglob("template.yaml"), *folder.rglob("template.yml")]):
        name = str(path.relative_to(folder))
        try:
            source = load(path.read_text("utf-8"), name, files=of_folder(path.parent))
        except UnreadableError as error:
            odd("not read", name, error)
            continue
        start = time.process_time()
        same = diff([source], [replace(source, template=_otherwise(source.template))])
        seconds.append(time.process_time() - start)
        if same.not_judged:
            failed = [item for item in same.not_judged if "failed" in item.what]
            odd("comparison failed" if failed else "not judged", name, (failed or same.not_judged)[0])
        elif same.changes:
            odd("changed by other words", name, same.changes[0])
        else:
            counts["no change"] += 1
        for place, resources in dict(reversed([*seeds(source.template["Resources"])])).items():
            found = diff([source], [replace(source, template={**source.template, "Resources": resources})])
            if found.exit_code == 1:
                counts[f"grant in {place} found"] += 1
            else:
                odd("grant not judged" if found.not_judged else "grant missed", name, [place, *found.not_judged])
    print(*(f"{what} {count}" for what, count in counts.items()), sep=", ")
    median, most = sorted(seconds)[len(seconds) // 2], max(seconds)
    print(f"processor time of a comparison: median {median:.2f} s, most {most:.2f} s")
    return 1 if counts["comparison failed"] + counts["changed by other words"] + counts["grant missed"] else 0


def _otherwise(template: Mapping[str, Any]) -> Mapping[str, Any]:
    chance = random.Random(0)  # noqa: S311 - nothing depends on it
    for rewrite in (reversed_statements, renamed_statements, reversed_resources):
        template = rewrite(dict(template), chance)
    return {**template, "Resources": {**template["Resources"], "SeededQueue": {"Type": "AWS::SQS::Queue"}}}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
