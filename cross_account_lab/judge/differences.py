"""What differs between a request and one that AWS would accept, in sentences for whoever writes a caller."""

from __future__ import annotations

import hashlib
import hmac
import itertools
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
    """Why a request is refused.

    Attributes:
        differences: One sentence for each mistake.
        canonical_request: What should have been hashed; empty if the request does not say what it signs.
        string_to_sign: What should have been signed.
    """

    differences: tuple[str, ...]
    canonical_request: str = ""
    string_to_sign: str = ""


def explain(request: Request, api: Api, keys: Mapping[str, Credentials], now: datetime) -> Explanation:
    """Compare a request with what the API expects; it need not be wrong."""
    values = request.values("authorization")
    authorization = sigv4.AUTHORIZATION.fullmatch(values[0]) if len(values) == 1 else None
    if not authorization:
        return Explanation((_no_authorization(request, values),))
    names = authorization["signed_headers"].split(";")
    dates = request.values("x-amz-date")
    date = dates[0] if len(dates) == 1 else ""
    given = authorization.group("date", "region", "service", "terminator")
    expected = (date[:8] if sigv4.parse_date(date) else given[0], api.region, api.service, "aws4_request")
    credentials = keys.get(authorization["access_key"])
    differences = [
        *_place(request, api),
        *_headers(request, names),
        *_clock(date, now),
        *_scope(given, expected),
        *_credentials(request, authorization["access_key"], credentials, now),
        *_body(request, api.service),
    ]
    canonical = sigv4.canonical_request(request, names)
    if credentials:
        # In the request's own scope, so that a wrong region does not hide what else is wrong.
        key = sigv4.signing_key(credentials.secret_key, "/".join(given))
        differences += _signature(request, names, date, "/".join(given), key, authorization["signature"])
    return Explanation(tuple(differences), canonical, sigv4.string_to_sign(canonical, date, "/".join(expected)))


def find_notes(request: Request) -> list[str]:
    """Return what is right here and may be wrong elsewhere."""
    return [_PLUS] if "+" in request.target.partition("?")[2] else []


_PLUS = "The query has a raw +: some services read it as a plus and others as a space. Send %2B or %20."


def _no_authorization(request: Request, values: list[str]) -> str:
    if not values and "X-Amz-Signature=" in request.target:
        return (
            "The signature is in the query (a presigned URL), which is not checked here: use the Authorization header."
        )
    if not values:
        return "There is no Authorization header: the request is not signed."
    if len(values) > 1:
        return f"There are {len(values)} Authorization headers instead of one."
    return (
        "The Authorization header is malformed: AWS4-HMAC-SHA256 "
        "Credential=KEY/DATE/REGION/SERVICE/aws4_request, SignedHeaders=NAME;NAME, Signature=HEX"
    )


def _place(request: Request, api: Api) -> Iterator[str]:
    host = ",".join(request.values("host"))
    if host != api.host:
        yield f"Host is {host!r}, the API is {api.host!r}: no API answers there."
    path = request.target.partition("?")[0]
    if api.stage and path != api.stage and not path.startswith(f"{api.stage}/"):
        yield f"The path does not begin with the stage, {api.stage}: API Gateway's own host names need it."


def _headers(request: Request, names: list[str]) -> Iterator[str]:
    if names != sorted(set(names)):
        yield "SignedHeaders are not sorted, or a name is repeated."
    if missing := [name for name in names if not request.values(name)]:
        yield f"SignedHeaders name headers that did not arrive: {', '.join(missing)}."
    required = {"host"} | {name for name, _ in request.headers if name.startswith("x-amz-")} - {"x-amz-content-sha256"}
    if unsigned := sorted(required - set(names)):
        yield f"Headers that must be signed are not in SignedHeaders: {', '.join(unsigned)}."


def _clock(date: str, now: datetime) -> Iterator[str]:
    moment = sigv4.parse_date(date)
    if moment is None:
        yield "There must be one X-Amz-Date header, such as 20261129T120000Z."
        return
    seconds = (moment - now).total_seconds()
    if abs(seconds) > sigv4.CLOCK_SKEW.total_seconds():
        side = "ahead of" if seconds > 0 else "behind"
        yield f"X-Amz-Date is {abs(seconds):.0f} s {side} the clock here ({now:%Y%m%dT%H%M%SZ}); 300 are allowed."


def _scope(given: tuple[str, ...], expected: tuple[str, ...]) -> Iterator[str]:
    for name, is_, ought in zip(("date", "region", "service", "end"), given, expected, strict=True):
        if is_ != ought:
            yield f"The {name} in the credential scope is {is_}; it must be {ought}."


def _credentials(request: Request, access_key: str, credentials: Credentials | None, now: datetime) -> Iterator[str]:
    tokens = request.values("x-amz-security-token")
    if credentials is None:
        yield f"The access key {access_key} does not exist here."
    elif not tokens and credentials.token:
        yield "X-Amz-Security-Token is missing: the access key belongs to a session."
    elif tokens != [credentials.token] * bool(credentials.token):
        yield "X-Amz-Security-Token is not the token of this access key."
    elif credentials.expires is not None and credentials.expires <= now:
        yield "The session has expired: get a new one, and sign the request with it."


def _body(request: Request, service: str) -> Iterator[str]:
    allowed = sigv4.UNSIGNED if service == "vpc-lattice-svcs" else sigv4.digest(request)
    hashes = request.values("x-amz-content-sha256")
    if service == "vpc-lattice-svcs" and hashes != [allowed]:
        yield f"X-Amz-Content-Sha256 must be {allowed}."
    elif hashes and hashes != [allowed]:
        yield f"X-Amz-Content-Sha256 is not the hash of the body that arrived, {allowed}."


def _signature(request: Request, names: list[str], date: str, scope: str, key: bytes, given: str) -> list[str]:
    """Try what callers get wrong, the fewest mistakes first, until a signature matches."""
    forms = [_paths(request), _queries(request), _payloads(request), _hosts(request)]
    attempts = itertools.product(*(form.items() for form in forms))
    for attempt in sorted(attempts, key=lambda attempt: sum(bool(mistake) for mistake, _ in attempt)):
        mistakes, (path, query, payload, host) = zip(*attempt, strict=True)
        lines = [f"{name}:{host if name == 'host' else sigv4.canonical_value(request.values(name))}" for name in names]
        canonical = "\n".join([request.method, path, query, *lines, "", ";".join(names), payload])
        text = sigv4.string_to_sign(canonical, date, scope)
        if hmac.compare_digest(hmac.digest(key, text.encode("latin-1"), "sha256").hex(), given):
            return [mistake for mistake in mistakes if mistake]
    return [
        "The signature does not match, for none of the usual reasons. Compare the canonical request and the string to "
        "sign with your own; if both are equal, the secret access key or the derived key differs."
    ]


def _paths(request: Request) -> dict[str, str]:
    """Return paths as they may have been signed, by the mistake; the right one has an empty text."""
    path = request.target.partition("?")[0]
    once = sigv4.normalized(path)
    return _by_mistake(
        {
            "": sigv4.encoded(once, safe="/"),
            "The path was signed as it was sent: encode each segment once more before signing.": path,
            "The path was signed decoded: encode each segment twice, once for the wire and once more to sign.": unquote(
                path, "latin-1"
            ),
            "The path was signed with its empty or dot segments: remove them before signing.": sigv4.encoded(
                path, safe="/"
            ),
            "The path was encoded three times for the signature: twice is right.": sigv4.encoded(
                sigv4.encoded(once, safe="/"), safe="/"
            ),
            "The path was signed without its first segment: stage and base path are signed as well.": (
                sigv4.encoded("/" + once.lstrip("/").partition("/")[2], safe="/")
            ),
            "The path was signed as /.": "/",
        }
    )


def _queries(request: Request) -> dict[str, str]:
    query = request.target.partition("?")[2]
    items = [item.partition("=") for item in query.split("&") if item]
    plus = sorted(
        (sigv4.encoded(unquote_plus(name, "latin-1")), sigv4.encoded(unquote_plus(value, "latin-1")))
        for name, _, value in items
    )
    again = sorted((sigv4.encoded(name), sigv4.encoded(value)) for name, _, value in items)
    ordered = [
        (sigv4.encoded(unquote(name, "latin-1")), sigv4.encoded(unquote(value, "latin-1"))) for name, _, value in items
    ]
    return _by_mistake(
        {
            "": sigv4.canonical_query(query),
            _PLUS: _joined(plus),
            "The query was signed as it was sent: encode each name and value, put = between them, and sort.": query,
            "The query was signed in the order in which it was sent: sort it by encoded name, then by value.": _joined(
                ordered
            ),
            "The query was sorted, but not encoded: all but A-Z a-z 0-9 - . _ ~ as %XX, with = after each name.": (
                "&".join(sorted(query.split("&")))
            ),
            "The query was encoded twice for the signature: once is right.": _joined(again),
            "The query was encoded twice for the signature, and its escapes changed case: once is right.": _lower_case(
                _joined(again), "%25"
            ),
            "The query was encoded with lower-case escapes: %2F is right, %2f is not.": _lower_case(
                sigv4.canonical_query(query)
            ),
            "The query was left out of the signature.": "",
        }
    )


def _payloads(request: Request) -> dict[str, str]:
    claimed = request.values("x-amz-content-sha256")[:1]
    right = sigv4.UNSIGNED if claimed == [sigv4.UNSIGNED] else sigv4.digest(request)
    return _by_mistake(
        {
            "": right,
            "The body was left out of the signature.": hashlib.sha256(b"").hexdigest(),
            f"The body was signed as {sigv4.UNSIGNED}, which this service does not accept.": sigv4.UNSIGNED,
            "Another body was signed than the one that arrived.": (claimed or [right])[0],
        }
    )


def _hosts(request: Request) -> dict[str, str]:
    host = ",".join(request.values("host"))
    return _by_mistake(
        {
            "": host,
            f"The host was signed without its port: {host} is what arrived.": host.partition(":")[0],
            "The host was signed in lower case, and sent otherwise.": host.lower(),
        }
    )


def _by_mistake(forms: dict[str, str]) -> dict[str, str]:
    """Leave out what is no different from the right form, which comes first, or from an earlier mistake."""
    kept: dict[str, str] = {}
    for mistake, form in forms.items():
        kept.setdefault(form, mistake)
    return {mistake: form for form, mistake in kept.items()}


def _joined(pairs: list[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in pairs)


def _lower_case(query: str, escape: str = "%") -> str:
    """Write the two digits after each escape in lower case."""
    first, *parts = query.split(escape)
    return first + "".join(f"{escape}{part[:2].lower()}{part[2:]}" for part in parts)
