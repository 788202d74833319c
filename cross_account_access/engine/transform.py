"""What SAM makes of a template, its parameters left open."""

import copy
import functools
import json
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from samtranslator.internal.managed_policies import get_bundled_managed_policy_map
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator import translator
from samtranslator.utils.py27hash_fix import to_py27_compatible_template, undo_mark_unicode_str_in_template

from cross_account_access.engine import data
from cross_account_access.engine.sources import INCLUDED, EngineError, Files, Source, digest

SAM = "AWS::Serverless-2016-10-31"
# Without a macro's service, what these do is known: functions that only SAM's and CloudFormation's own logic uses.
_HARMLESS = {SAM, "AWS::LanguageExtensions"}
_BUCKET, _REGION = "s3://bucket/", "eu-west-1"
_HASHED = re.compile(r"^(.*(?:Deployment|Version\w*|Layer\w*|[A-Za-z]))([0-9a-f]{10})$")
# It reads and validates the same policy templates for every translation.
translator.make_policy_template_for_function_plugin = functools.cache(
    translator.make_policy_template_for_function_plugin
)
logging.getLogger("samtranslator").setLevel(logging.CRITICAL)


# What templates may have: attributes of resources, functions, types whose name changes with their content, and the
# properties, by type, with packages and definitions for which SAM demands an address in S3.
_KNOWN = data.read(__file__, "template.json")


class NotTransformedError(EngineError):
    """SAM refuses a template, or a macro that is not known here makes it."""


class StructureError(EngineError):
    """SAM makes another template for another value of a parameter."""

    def __init__(self, parameter: str) -> None:
        super().__init__(f"SAM makes another template for another value of {parameter}")
        self.parameter = parameter


def transformed(source: Source) -> dict[str, Any]:
    """Return the template that CloudFormation deploys, every reference to a parameter left as one.

    Raises:
        NotTransformedError: SAM or CloudFormation refuses the template, or a macro makes it.
        StructureError: A parameter without a given value decides about more than texts.
    """
    template: dict[str, Any] = copy.deepcopy(dict(source.template))
    for section in ("Parameters", "Conditions", "Mappings", "Outputs", "Rules", "Globals"):
        if not template.get(section):
            template.pop(section, None)
    given = template.get("Transform", [])
    macros = given if isinstance(given, list) else [given]
    unknown = [macro for macro in macros if macro not in _HARMLESS]
    if unknown or any(name.startswith("Fn::") for name in template["Resources"]):
        raise NotTransformedError(f"the macro {unknown[0] if unknown else 'Fn::ForEach'} makes the template")
    for resource in template["Resources"].values():
        resource["Properties"] = resource.get("Properties") or {}
    if SAM in macros:
        template = _by_sam(template, source)
    _check(template)
    _with_contents(template["Resources"], source.files)
    return _without_hashes(template)


def _check(template: Mapping[str, Any]) -> None:
    conditions = template.get("Conditions") or {}
    for name, resource in template["Resources"].items():
        if odd := set(resource) - set(_KNOWN["attributes"]):
            raise NotTransformedError(f"{name} has {min(odd)}, which no resource has")
    for name in references(template["Resources"]):
        if name.startswith("?") and name[1:] not in conditions:
            raise NotTransformedError(f"the condition {name[1:]} is not there")
    for function, _ in pairs(template["Resources"]):
        if function.startswith("Fn::") and function.removeprefix("Fn::") not in _KNOWN["functions"]:
            raise NotTransformedError(f"{function} is not known here")


def _by_sam(template: dict[str, Any], source: Source) -> dict[str, Any]:
    declared = template.pop("Parameters", {})
    # SAM needs the sections that it looks at, and puts a parameter's value, or else its default, into its output.
    template["Parameters"] = {name: {"Type": "String"} for name in declared}
    _addressed(template, source.files)
    marked = {name: source.parameters.get(name, f"\ue000{name}\ue001") for name in declared}
    text = _translated(template, marked)
    used = [name for name, value in marked.items() if value not in source.parameters.values() and value in text]
    own = (item for item in template["Resources"].values() if item["Type"].startswith("AWS::Serverless::"))
    read = {name for item in own for name in references(item["Properties"])}
    used += [name for name in declared if name in read and name not in used and name not in source.parameters]
    usual = {name: _usual(declared[name]) for name in dict.fromkeys(used)}
    if usual and not _same(text, template, marked, usual):
        for name, value in usual.items():
            if not _same(text, template, marked, {name: value}):
                raise StructureError(name)
        raise NotTransformedError(f"SAM makes another template for other values of {' and '.join(usual)}")
    found: dict[str, Any] = json.loads(text, object_hook=_unmarked)
    found.pop("Parameters", None)
    if declared:
        found["Parameters"] = declared
    return found


def _usual(declaration: Mapping[str, Any]) -> str:
    allowed = declaration.get("AllowedValues") or [declaration.get("Default", "a-text")]
    value = declaration.get("Default", allowed[0])
    return str(value).lower() if isinstance(value, bool) else str(value)


def _same(text: str, template: dict[str, Any], marked: Mapping[str, str], values: Mapping[str, str]) -> bool:
    """Return whether SAM makes the same of values as of their markers, the values aside."""
    try:
        with_values = _translated(template, {**marked, **values})
    except NotTransformedError:
        return False
    expected = text
    for name, value in values.items():
        expected = expected.replace(json.dumps(marked[name])[1:-1], json.dumps(value)[1:-1])

    def bare(made: str) -> Any:
        return json.loads(re.sub(r"\b[0-9a-f]{40}\b|(?<=[A-Za-z])[0-9a-f]{10}\b", "hash", made))

    return bool(bare(expected) == bare(with_values))


def _translated(template: dict[str, Any], values: Mapping[str, str]) -> str:
    """Return SAM's output as JSON."""
    return _cached(json.dumps(template), tuple(values.items()))


@functools.lru_cache(maxsize=32)
def _cached(text: str, values: tuple[tuple[str, str], ...]) -> str:
    template, given = json.loads(text), dict(values)
    try:
        to_py27_compatible_template(template, given)
        made = translator.Translator(None, Parser(), boto_session=_Session()).translate(
            template, given, get_managed_policy_map=_managed_policies
        )
    except InvalidDocumentException as error:
        causes = "; ".join(cause.message for cause in error.causes) or str(error)
        raise NotTransformedError(f"SAM refuses the template: {' '.join(causes.split())}") from error
    except RecursionError as error:
        raise NotTransformedError("SAM refuses the template: it refers to itself") from error
    except Exception as error:  # SAM's own faults: it is written for templates that are right
        raise NotTransformedError(f"SAM fails on the template: {type(error).__name__}: {error}") from error
    return json.dumps(undo_mark_unicode_str_in_template(made), default=str)


class _Session:
    """What SAM wants of a session of boto3."""

    region_name = _REGION


@functools.cache
def _managed_policies() -> dict[str, str]:
    return get_bundled_managed_policy_map("aws") or {}


def _unmarked(value: dict[str, Any]) -> dict[str, Any]:
    return {_plain(key): _reference(item, in_sub=key == "Fn::Sub") for key, item in value.items()}


def _plain(key: str) -> str:
    return re.sub("\ue000|\ue001", "", key)


def _reference(value: Any, *, in_sub: bool = False) -> Any:
    """Turn markers back into references; mappings inside are done already."""
    if isinstance(value, list):
        return [_reference(item, in_sub=in_sub and index == 0) for index, item in enumerate(value)]
    if not isinstance(value, str) or "\ue000" not in value:
        return value
    if in_sub:
        return re.sub("\ue000([^\ue001]*)\ue001", r"${\1}", value)
    if whole := re.fullmatch("\ue000([^\ue000\ue001]*)\ue001", value):
        return {"Ref": whole[1]}
    pieces = re.split("\ue000([^\ue001]*)\ue001", value)
    joined = [{"Ref": piece} if index % 2 else piece for index, piece in enumerate(pieces)]
    return {"Fn::Join": ["", [piece for piece in joined if piece != ""]]}


def _addressed(template: dict[str, Any], files: Files) -> None:
    """Give packages an address in S3, and read the definitions that local files hold."""
    globals_ = template.get("Globals") or {}
    for kind, properties in globals_.items() if isinstance(globals_, dict) else ():
        if isinstance(properties, dict) and "CodeUri" in properties and kind == "Function":
            properties["CodeUri"] = f"{_BUCKET}code"
    is_image = (globals_.get("Function") or {}).get("PackageType") == "Image"
    for resource in template["Resources"].values():
        kind, properties = resource["Type"], resource["Properties"]
        for name in _KNOWN["addresses"].get(kind, ()):
            value = properties.get(name)
            if kind == "AWS::Serverless::Function":
                image = properties.get("PackageType") == "Image" or (is_image and "PackageType" not in properties)
                if image and "ImageUri" not in properties:
                    properties["ImageUri"] = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/image:latest"
                elif not image and "InlineCode" not in properties:
                    properties[name] = f"{_BUCKET}code"
            elif kind == "AWS::Serverless::LayerVersion":
                properties[name] = f"{_BUCKET}code"
            elif isinstance(value, str) and not value.startswith("s3://"):
                _defined(properties, name, value, files, inline=name == "DefinitionUri" and "Api" in kind)


def _defined(properties: dict[str, Any], name: str, path: str, files: Files, *, inline: bool) -> None:
    content = files(path)
    if content is None:
        properties[name] = f"{_BUCKET}missing/{path}"
    elif inline:
        del properties[name]
        properties["DefinitionBody"] = yaml.load(content, _DefinitionLoader)  # noqa: S506 - a SafeLoader # nosec B506
    else:
        properties[name] = f"{_BUCKET}{digest(path, files)}"


class _DefinitionLoader(yaml.SafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [pair for pair in known if not pair[0].endswith(":timestamp")]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _with_contents(value: Any, files: Files) -> None:
    """Replace the names of local files, which may differ in the two revisions, by their content's."""
    if isinstance(value, list):
        for item in value:
            _with_contents(item, files)
    elif isinstance(value, dict):
        for key, item in value.items():
            if INCLUDED.fullmatch(key) and isinstance(item, str) and not re.match("s3:|https?:", item):
                value[key] = f"{item} ({digest(item, files) or 'missing'})"
            else:
                _with_contents(item, files)


def _without_hashes(template: dict[str, Any]) -> dict[str, Any]:
    """Give resources whose name changes with their content the same name in both revisions."""
    resources: Mapping[str, Any] = template["Resources"]
    renamed = {
        name: match[1]
        for name, resource in resources.items()
        if resource["Type"] in _KNOWN["hashed"] and (match := _HASHED.match(name))
    }
    names = {old: new for old, new in renamed.items() if new not in resources and [*renamed.values()].count(new) == 1}
    if not names:
        return template
    pattern = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in sorted(names, key=len, reverse=True)))
    found: dict[str, Any] = json.loads(pattern.sub(lambda match: names[match[0]], json.dumps(template)))
    return found


def pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over all keys and their values, at any depth."""
    for item in value if isinstance(value, list) else value.values() if isinstance(value, Mapping) else ():
        yield from pairs(item)
    if isinstance(value, Mapping):
        yield from value.items()


def references(value: Any) -> Iterator[str]:
    """Find the names of what a value refers to: parameters, resources, and `?Name` for conditions."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "Ref":
                yield str(item)
            elif key == "Condition" and isinstance(item, str):
                yield f"?{item}"
            elif key == "Fn::If" and isinstance(item, list) and item:
                yield f"?{item[0]}"
                yield from references(item[1:])
            elif key == "Fn::GetAtt":
                first = item if isinstance(item, str) else str(item[0]) if item else ""
                yield first.partition(".")[0]
            elif key == "Fn::FindInMap" and isinstance(item, list) and item and isinstance(item[0], str):
                yield f"#{item[0]}"
                yield from references(item[1:])
            elif key == "Fn::Sub":
                text, extra = (item, {}) if isinstance(item, str) else (item[0], item[1])
                names = re.findall(r"\$\{([\w.:]+)\}", text) if isinstance(text, str) else []
                yield from (name.partition(".")[0] for name in names if name not in extra)
                yield from references(extra)
            else:
                yield from references(item)
