"""Templates as they are written: YAML or JSON of one revision, with the files beside it."""

import hashlib
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


class EngineError(Exception):
    """Something cannot be read or judged; the message says what."""


class UnreadableError(EngineError):
    """A template is no template."""


type Files = Callable[[str], bytes | None]
"""Content of a file beside the template, by its relative path; None if there is none."""


@dataclass(frozen=True)
class Source:
    """One version of a template."""

    name: str  # as people know it
    template: Mapping[str, Any]  # intrinsic functions in their long form
    parameters: Mapping[str, str] = field(default_factory=dict)  # that have one value; all others have any
    watched: frozenset[str] = frozenset()  # `Type.Property.…` that is access, beyond what the engine knows
    files: Files = field(default=lambda _: None, compare=False)


def load(
    text: str,
    name: str,
    *,
    watched: frozenset[str] = frozenset(),
    files: Files = lambda _: None,
) -> Source:
    """Read a template.

    Raises:
        UnreadableError: It is no YAML, gives a key twice, or has no resources.
    """
    try:
        template = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader # nosec B506
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UnreadableError(f"{name} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise UnreadableError(f"{name} is no template: it has no Resources")
    for identifier, resource in template["Resources"].items():
        if identifier.startswith("Fn::"):
            continue
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise UnreadableError(f"{name}: the resource {identifier} has no Type")
        if not isinstance(resource.get("Properties") or {}, dict):
            raise UnreadableError(f"{name}: the Properties of {identifier} are no mapping")
    return Source(name, template, watched=watched, files=files)


def empty(name: str) -> Source:
    """Return the version of a template before there was one, or after it was removed."""
    return Source(name, {"Resources": {}})


def of_folder(folder: Path) -> Files:
    """Read files of a folder."""

    def read(path: str) -> bytes | None:
        file = folder / path
        return file.read_bytes() if file.is_file() else None

    return read


def of_revision(repository: Path, revision: str, below: str = ".") -> Files:
    """Read files of a git revision, relative to a folder of the repository."""

    def read(path: str) -> bytes | None:
        command = ["git", "-C", str(repository), "show", f"{revision}:./{Path(below, path)}"]
        found = subprocess.run(command, capture_output=True, check=False)
        return found.stdout if found.returncode == 0 else None

    return read


# What names a file whose content is part of the template.
INCLUDED = re.compile(r"TemplateURL|Location|DefinitionUri|\w*S3Location|SchemaUri")
_INCLUDES = re.compile(rf"""(?:{INCLUDED.pattern})["']?\s*:\s*["']?([^"'\s{{}},]+)""")


def digest(path: str, files: Files, seen: frozenset[str] = frozenset()) -> str:
    """Return a short name of a file's content, with that of the files that it includes; empty if there is none."""
    content = None if path in seen else files(path)
    if content is None:
        return ""
    found = hashlib.sha256(content)
    for name in _INCLUDES.findall(content.decode(errors="replace")):
        found.update(digest(str(Path(path).parent / name), files, seen | {path}).encode())
    return found.hexdigest()[:16]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as CloudFormation means it: no dates, no octal or sexagesimal numbers, and no key twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in known if tag.rpartition(":")[2] not in {"timestamp", "int", "float"}]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        own = {}
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge":
                name = key.value if isinstance(key, yaml.ScalarNode) else str(self.construct_object(key, deep=True))
                if name in own:
                    raise yaml.constructor.ConstructorError(None, None, f"the key {name} twice", key.start_mark)
                own[name] = True
        self.flatten_mapping(node)
        # Keys are texts: a status code or `on`, too.
        return {
            key.value if isinstance(key, yaml.ScalarNode) else "": self.construct_object(value, deep=True)
            for key, value in node.value
        }

    def function(self, suffix: str, node: yaml.Node) -> dict[str, Any]:
        value: Any
        if isinstance(node, yaml.ScalarNode):
            value = self.construct_scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            value = self.construct_sequence(node, deep=True)
        else:
            assert isinstance(node, yaml.MappingNode)
            value = self.mapping(node)
        if suffix == "GetAtt" and isinstance(value, str):
            value = value.split(".", 1)
        return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.mapping)
_Loader.add_multi_constructor("!", _Loader.function)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]+)?$"), list("-+0123456789")
)
