"""Secrets stay out of messages: malformed ones are refused before use, and known ones cut out of quoted text."""

import functools
import re
from collections import deque

from botocore.credentials import ReadOnlyCredentials

_PARTS = ("access_key", "secret_key", "token")
_UNSENDABLE = re.compile(r"""[^!-~]+|["'`]+""")
"""Quotes can be sent, but are in no credential: they were pasted along with it."""

_QUOTING = re.compile(r"(Invalid header (?:name|value)|codec can't (?:en|de)code)\b.*", re.DOTALL)
"""How http.client and Python begin to quote what they cannot send."""

_USER_INFO = re.compile(r"(?<=//)[^/\s]*@")
_MIN_SECRET = 16
"""AWS's secrets are longer; what is shorter may be a word of the message."""

_known: deque[str] = deque(maxlen=32)


def redact(text: str) -> str:
    """Return someone else's text without the credentials that this process has used, or a password in a URL."""
    for secret in tuple(_known):
        text = text.replace(secret, "(not shown)")
    return _USER_INFO.sub("(not shown)@", _QUOTING.sub(r"\1", text))


@functools.lru_cache(maxsize=8)
def find_fault(credentials: ReadOnlyCredentials) -> tuple[str, str] | None:
    """Return which part cannot be sent and why, without its value; None, and it is known from now on, if all can be."""
    for part in _PARTS:
        value = getattr(credentials, part)
        if (value or part != "token") and (fault := describe_fault(value)):
            return part, fault
    _known.extend(secret for secret in credentials[1:] if secret and len(secret) >= _MIN_SECRET)
    return None


def describe_fault(value: object) -> str:
    """Return why a text is no credential; empty if it is printable ASCII without blanks and quotes."""
    if not isinstance(value, str) or not value:
        return "is missing"
    found = _UNSENDABLE.search(value)
    if not found:
        return ""
    what = "a character other than printable ASCII"
    if not found[0].strip():
        what = "a line end" if {"\r", "\n"} & set(found[0]) else "a blank"
    elif found[0].isascii() and found[0].isprintable():
        what = "a quote"
    where = "ends in" if found.end() == len(value) else "holds" if found.start() else "begins with"
    return f"{where} {what}"
