"""What differs between a request and one that AWS would accept, in sentences for whoever writes a caller."""

import hashlib
import hmac
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote, unquote_plus

from cross_account_lab.judge import sigv4
from cross_account_lab.judge.sigv4 import Credentials, Request


@dataclass(frozen=True)
class Api:
    """What a request must be signed for.

    Attributes:
        host: The value of the Host header.
        stage: What each path begins with: `/v1`.
    """

    host: str
    region: str
    service: str = "execute-api"
    stage: str = "/v1"


@dataclass(frozen=True)
class Explanation:
    """Why a request is refused; all is empty if it is right.

    Attributes:
        code: The error type that API Gateway responds with.
        differences: One sentence for each mistake.
        canonical_request: What should have been hashed; empty if the request does not say what it signs.
        string_to_sign: What should have been signed.
    """

    code: str = ""
    differences: tuple[str, ...] = ()
    canonical_request: str = ""
    string_to_sign: str = ""


def explain(request: Request, api: Api, keys: Mapping[str, Credentials], now: datetime) -> Explanation:
    """Compare a request with what the API expects; it need not be wrong."""
    faults = list(sigv4.find_faults(request, keys, region=api.region, service=api.service, now=now))
    code = faults[0].code if faults else "ForbiddenException"
    authorization = request.authorization
    if not authorization:
        return Explanation(code, (faults[0].reason,))
    differences = [*_place(request, api)]  # no signature tells
    for fault in faults:
        if fault.reason == sigv4.MISMATCH:
            differences += _mistakes(request, authorization, keys[request.access_key].secret_key)
        else:
            differences.append(fault.reason)
    if not differences:
        return Explanation()
    canonical = sigv4.canonical_request(request, authorization["signed_headers"].split(";"))
    date = ",".join(request.values("x-amz-date"))
    scope = f"{date[:8] if sigv4.parse_date(date) else authorization['date']}/{api.region}/{api.service}/aws4_request"
    return Explanation(code, tuple(differences), canonical, sigv4.string_to_sign(canonical, date, scope))


def find_notes(request: Request) -> list[str]:
    """Return what is right here and may be wrong elsewhere."""
    return [_PLUS] if "+" in request.target.partition("?")[2] else []


_PLUS = "The query has a raw +: some services read it as a plus and others as a space. Send %2B or %20."


def _place(request: Request, api: Api) -> Iterator[str]:
    host = ",".join(request.values("host"))
    if host != api.host:
        yield f"Host is {host!r}, the API is {api.host!r}: no API answers there."
    path = request.target.partition("?")[0]
    if api.stage and path != api.stage and not path.startswith(f"{api.stage}/"):
        yield f"The path does not begin with the stage, {api.stage}: API Gateway's own host names need it."


def _mistakes(request: Request, authorization: re.Match[str], secret_key: str) -> list[str]:
    """Try what callers get wrong, the fewest mistakes first, until a signature matches."""
    names, date = authorization["signed_headers"].split(";"), ",".join(request.values("x-amz-date"))
    scope = "/".join(authorization.group("date", "region", "service", "terminator"))
    key = sigv4.signing_key(secret_key, scope)
    forms = [_paths(request), _queries(request), _payloads(request), _hosts(request)]
    attempts = itertools.product(*(form.items() for form in forms))
    for attempt in sorted(attempts, key=lambda attempt: sum(bool(mistake) for mistake, _ in attempt)):
        mistakes, (path, query, payload, host) = zip(*attempt, strict=True)
        lines = [f"{name}:{host if name == 'host' else sigv4.canonical_value(request.values(name))}" for name in names]
        canonical = "\n".join([request.method, path, query, *lines, "", ";".join(names), payload])
        text = sigv4.string_to_sign(canonical, date, scope)
        if hmac.digest(key, text.encode("latin-1"), "sha256").hex() == authorization["signature"]:
            return [mistake for mistake in mistakes if mistake]
    return [
        "The signature does not match, for none of the usual reasons. Compare the canonical request and the string to "
        "sign with your own; if both are equal, the secret access key or the derived key differs."
    ]


def _paths(request: Request) -> dict[str, str]:
    """Return paths as they may have been signed, by the mistake; the right one, which comes first, has none."""
    path = request.target.partition("?")[0]
    once = sigv4.normalized(path)
    right = sigv4.encoded(once, safe="/")
    decoded = "The path was signed decoded: encode each segment twice, once for the wire and once more to sign."
    segments = "The path was signed with its empty or dot segments: remove them before signing."
    first = "The path was signed without its first segment: stage and base path are signed as well."
    return _different(
        {
            "": right,
            "The path was signed as it was sent: encode each segment once more before signing.": path,
            decoded: unquote(path, "latin-1"),
            segments: sigv4.encoded(path, safe="/"),
            "The path was encoded three times for the signature: twice is right.": sigv4.encoded(right, safe="/"),
            first: sigv4.encoded("/" + once.lstrip("/").partition("/")[2], safe="/"),
            "The path was signed as /.": "/",
        }
    )


def _queries(request: Request) -> dict[str, str]:
    query = request.target.partition("?")[2]
    right = sigv4.canonical_query(query)
    twice = sigv4.canonical_query(query, decode=lambda text: text)
    order = "The query was signed in the order in which it was sent: sort it by encoded name, then by value."
    bare = "The query was sorted, but not encoded: all but A-Z a-z 0-9 - . _ ~ as %XX, with = after each name."
    lower = "The query was encoded twice for the signature, and its escapes changed case: once is right."
    return _different(
        {
            "": right,
            _PLUS: sigv4.canonical_query(query, decode=lambda text: unquote_plus(text, "latin-1")),
            "The query was signed as it was sent: encode each name and value, put = between them, and sort.": query,
            order: sigv4.canonical_query(query, arrange=list),
            bare: "&".join(sorted(query.split("&"))),
            "The query was encoded twice for the signature: once is right.": twice,
            lower: _lower_case(twice, "%25"),
            "The query was encoded with lower-case escapes: %2F is right, %2f is not.": _lower_case(right),
            "The query was left out of the signature.": "",
        }
    )


def _payloads(request: Request) -> dict[str, str]:
    claimed = request.values("x-amz-content-sha256")[:1]
    right = sigv4.payload_hash(request)
    return _different(
        {
            "": right,
            "The body was left out of the signature.": hashlib.sha256(b"").hexdigest(),
            f"The body was signed as {sigv4.UNSIGNED}, which this service does not accept.": sigv4.UNSIGNED,
            "Another body was signed than the one that arrived.": (claimed or [right])[0],
        }
    )


def _hosts(request: Request) -> dict[str, str]:
    host = ",".join(request.values("host"))
    return _different(
        {
            "": host,
            f"The host was signed without its port: {host} is what arrived.": host.partition(":")[0],
            "The host was signed in lower case, and sent otherwise.": host.lower(),
        }
    )


def _different(forms: dict[str, str]) -> dict[str, str]:
    """Leave out what is no different from an earlier form."""
    mistakes = {form: mistake for mistake, form in reversed(forms.items())}
    return {mistake: form for mistake, form in forms.items() if mistakes[form] == mistake}


def _lower_case(query: str, escape: str = "%") -> str:
    """Write the two digits after each escape in lower case."""
    return re.sub(f"(?<={escape})..", lambda digits: digits[0].lower(), query)
