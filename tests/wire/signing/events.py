"""Generated calls: every kind that is allowed, and some that are not."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from cross_account_api.call import METHODS

# What has a meaning of its own in a URL, a header, a signature or a shell, or could be taken for an escape.
_SPECIAL = " %+&=;:,@!$'()*~.-_\\|\"<>[]{}^`2fF41é日😀\u0301"
_CONTROL = "/?#\t\n\r\x00\x7f\x85"
_VISIBLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
_TEXT = st.text(_SPECIAL, max_size=8) | st.text(_SPECIAL + _CONTROL, max_size=8) | st.text(max_size=8)
_SEGMENT = st.text(_SPECIAL, min_size=1, max_size=8) | st.text(
    st.characters(exclude_characters="/?#", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8
)
_PATH = st.builds(
    lambda segments, end: "/" + "/".join(segments) + end, st.lists(_SEGMENT, max_size=4), st.sampled_from(["", "/"])
)
_SCALAR = _TEXT | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
_HEADER_NAME = st.text("abcXYZ019!#$%&'*+.^_`|~-", min_size=1, max_size=12) | st.sampled_from(
    ["Accept", "Content-Type", "Range", "If-None-Match", "X-Tenant", "Host", "X-Amz-Date", "Authorization", "Date"]
)
_HEADER_VALUE = st.text(_VISIBLE, min_size=1, max_size=30).map(str.strip) | _TEXT
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)

EVENTS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"path": _PATH | _PATH | _PATH | _TEXT.map(lambda text: "/" + text)},
    optional={
        "method": st.sampled_from(METHODS),
        "query": st.dictionaries(_TEXT, _SCALAR | st.lists(_SCALAR, max_size=4), max_size=5),
        "headers": st.dictionaries(_HEADER_NAME, _HEADER_VALUE, max_size=3),
        "body": _JSON,
        "idempotency_key": st.text(_VISIBLE, min_size=1, max_size=40).map(str.strip) | st.just("k" * 255),
    },
)

KEYS = st.tuples(
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=16, max_size=24),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="\"'`"), min_size=1, max_size=40),
    st.none()
    | st.builds(lambda text, times: text * times, st.text("abXY09+/=", min_size=1, max_size=40), st.integers(1, 40)),
)
"""Access key id, secret access key, and session token."""
