"""What a `Content-Type` says about text."""

import codecs
from email.message import Message

_MAX_LENGTH = 1000
"""The standard library takes seconds for a long one."""

_PYTHON_ONLY = {"idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}
"""Encodings that no other program calls a charset, some of them slow or with lone surrogates as a result."""


def parse(content_type: str) -> tuple[str, str]:
    """Return the media type in lower case and the charset; text/plain and UTF-8 unless it says something else."""
    header = Message()
    header["content-type"] = content_type[:_MAX_LENGTH]
    try:
        charset = header.get_content_charset()
    except ValueError:
        charset = "malformed"
    return header.get_content_type(), charset or "utf-8"


def decode(content: bytes, charset: str) -> str:
    """Return text.

    Raises:
        ValueError: The charset is unknown, or the content is not in it.
    """
    text = content.decode(_known(charset))
    text.encode()  # UTF-7 can hold lone surrogates
    return text


def encode(text: str, charset: str) -> bytes:
    """Return the bytes of a text.

    Raises:
        ValueError: The charset is unknown, or does not have a character.
    """
    return text.encode(_known(charset))


def _known(charset: str) -> str:
    try:
        name = codecs.lookup(charset).name.replace("_", "-")
        "tea".encode(name)  # a codec such as rot13 is not for encoding
    except LookupError as error:
        raise ValueError(f"{charset!r} is not a charset") from error
    if name in _PYTHON_ONLY:
        raise ValueError(f"{charset!r} is not a charset")
    return name
