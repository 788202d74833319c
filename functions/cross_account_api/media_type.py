"""What a `Content-Type` says about text."""

import codecs
import re
from contextlib import suppress

_TYPE = re.compile(r"\s*([\w.+-]+/[\w.+-]+)\s*(?:;|$)", re.ASCII)
_CHARSET = re.compile(r""";\s*charset\s*=\s*"?([^\s;"]+)""", re.IGNORECASE)
"""Simpler than the standard library's parser, which takes seconds for some values and raises TypeError for others."""

_PYTHON_ONLY = {"idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}
"""Encodings that no other program calls a charset, some of them slow or with lone surrogates as a result."""


def parse(content_type: str) -> tuple[str, str]:
    """Return the media type in lower case and the charset; text/plain and UTF-8 unless it says something else."""
    type_, charset = _TYPE.match(content_type), _CHARSET.search(content_type)
    return type_[1].lower() if type_ else "text/plain", charset[1] if charset else "utf-8"


def is_json(content_type: str) -> bool:
    """Return whether a content type says JSON."""
    type_, _ = parse(content_type)
    return type_ == "application/json" or type_.endswith("+json")


def decode(content: bytes, charset: str) -> str:
    """Return text; ValueError if the charset is unknown, or the content is not in it."""
    text = content.decode(_known(charset))
    text.encode()  # UTF-7 can hold lone surrogates
    return text


def encode(text: str, charset: str) -> bytes:
    """Return the bytes of a text; ValueError if the charset is unknown, or does not have a character."""
    return text.encode(_known(charset))


def _known(charset: str) -> str:
    with suppress(LookupError):
        name = codecs.lookup(charset[:40]).name.replace("_", "-")
        "tea".encode(name)  # a codec such as rot13 is not for encoding
        if name not in _PYTHON_ONLY:
            return name
    raise ValueError(f"{charset!r} is not a charset")
