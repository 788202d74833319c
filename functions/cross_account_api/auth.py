"""Signatures: on the client's own requests, and on those of `requests`, httpx and httpx2, of which none is imported."""

import functools
import re
import sys
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from botocore.credentials import ReadOnlyCredentials
from requests_aws4auth import AWS4Auth
from requests_aws4auth.aws4signingkey import AWS4SigningKey

from cross_account_api import errors
from cross_account_api.call import type_name
from cross_account_api.credentials import Credentials, require_well_formed
from cross_account_api.transport import Request

_REDIRECTS = (301, 302, 303, 307, 308)
# Headers that AWS4Auth reads: Content-Type has the charset of a body that is text.
_is_read = re.compile("content-type|host|x-api-key|x-amz-.*").fullmatch


class Auth:
    """Signs requests of one's own to one API: `auth=client.auth` of `requests`, httpx and httpx2, sync and async.

    Retries and idempotency are up to whoever sends them. All of these raise:
        InvalidCallError: The URL is not this API's, or the request cannot be signed.
        RedirectError: The API answered with a redirect, which would be followed with the session token.
        AssumeRoleError: There are no credentials.
    """

    def __init__(self, api_url: str, region: str, service: str, credentials: Credentials, api_key: str = "") -> None:
        self._api_url = api_url
        self._region = region
        self._service = service
        self._credentials = credentials
        self._api_key = api_key

    # httpx takes a subclass of its `Auth`, or a function that would block the event loop and see no redirect.
    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """What `isinstance` sees: a subclass of `Auth` of httpx and httpx2 as far as they are imported by now."""
        modules = (sys.modules.get(name) for name in ("httpx", "httpx2"))
        return _class_for(tuple(filter(None, (getattr(module, "Auth", None) for module in modules))))

    def __call__(self, request: Any) -> Any:
        """Sign a request of `requests`."""
        request.url = self._canonical_url((request.url or "").partition("#")[0])
        body = request.body
        if not (body is None or isinstance(body, str | bytes | bytearray) or hasattr(body, "read")):
            raise errors.InvalidCallError("body", type_name(body), "bytes, text or a file")
        request.register_hook("response", _refuse_redirect)
        self._sign(request, self._freeze())
        return request

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Sign a request of `httpx.Client`, and judge the response."""
        self._prepare(request)
        request.read()

        def trace(name: str, info: dict[str, Any]) -> None:
            _refuse_early(name, info)
            if given:
                given(name, info)

        given = _set_trace(request, trace)
        self._sign_httpx(request, self._freeze())
        _refuse_followed((yield request))

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Sign a request of `httpx.AsyncClient`, and judge the response; STS is waited for in a thread."""
        self._prepare(request)
        if not isinstance(request.stream, AsyncIterable):
            raise errors.InvalidCallError("content", "a file", "bytes or text, for an AsyncClient")
        await request.aread()

        async def trace(name: str, info: dict[str, Any]) -> None:
            _refuse_early(name, info)
            if given:
                await given(name, info)

        given = _set_trace(request, trace)
        if getattr(self._credentials, "are_at_hand", bool)():
            credentials = self._freeze()
        else:
            from anyio import to_thread  # noqa: PLC0415 - httpx and httpx2 bring it, `requests` does not

            credentials = await to_thread.run_sync(self._freeze, abandon_on_cancel=True)
        self._sign_httpx(request, credentials)
        _refuse_followed((yield request))

    def _freeze(self) -> ReadOnlyCredentials:
        return freeze(self._credentials)

    def _canonical_url(self, url: str) -> str:
        """Return a URL in the form that AWS4Auth and API Gateway read alike, or raise if it is not this API's."""
        if url != self._api_url and not url.startswith((f"{self._api_url}/", f"{self._api_url}?")):
            allowed = f"a URL below {self._api_url}"
            raise errors.InvalidCallError("url", repr(url.partition("?")[0][:100]), allowed)
        path, mark, query = url.partition("?")
        try:
            unquote_to_bytes(query).decode()
        except UnicodeDecodeError as error:
            raise errors.InvalidCallError("url", "a URL with a query in another encoding", "UTF-8") from error
        return path.replace(";", "%3B") + mark + query.replace("+", "%20")

    def _prepare(self, request: Any) -> None:
        """Refuse what httpx would sign or send wrongly, and write the URL as it will be signed."""
        if "transfer-encoding" in request.headers:
            raise errors.InvalidCallError("content", "a stream", "bytes, text, or a file")
        url = self._canonical_url(_sent_url(request))
        origin = _sent_url(request).removesuffix(request.url.raw_path.decode())
        request.url = request.url.copy_with(raw_path=url.removeprefix(origin).encode())

    def _sign_httpx(self, request: Any, credentials: ReadOnlyCredentials) -> None:
        given = {name: value for name, value in request.headers.items() if _is_read(name) and name != "content-type"}
        signed = Request(request.method, _sent_url(request), request.content, given)
        self._sign(signed, credentials)
        request.headers.pop("date", None)
        request.headers.update(signed.headers)

    def _sign(self, request: Any, credentials: ReadOnlyCredentials) -> None:
        for name in ("date", "x-amz-date"):
            request.headers.pop(name, None)
        if self._api_key and "x-api-key" not in map(str.lower, request.headers):
            request.headers["X-Api-Key"] = self._api_key
        # AWS4Auth would fail at an unpaired quote in any header.
        unread = {name: request.headers.pop(name) for name in list(request.headers) if not _is_read(name.lower())}
        try:
            make_signer(credentials, self._region, self._service)(request)
        except (LookupError, ValueError) as error:  # an unpaired quote, an unknown charset, a lone surrogate
            allowed = "x-amz-* headers whose quotes are paired, text in the charset of Content-Type"
            raise errors.InvalidCallError("request", "what cannot be signed", allowed) from error
        finally:
            request.headers.update(unread)


def freeze(credentials: Credentials) -> ReadOnlyCredentials:
    """Return credentials that no refresh changes while a request is signed with them."""
    return require_well_formed(credentials.get_frozen_credentials(), "the given credentials")


def make_signer(credentials: ReadOnlyCredentials, region: str, service: str) -> AWS4Auth:
    """Return a signer for one request; a shared one changes its key at midnight, and between threads."""
    key = _signing_key(credentials.secret_key, region, service, datetime.now(UTC).strftime("%Y%m%d"))
    signer = _UnsignedPayload if service == "vpc-lattice-svcs" else AWS4Auth
    return signer(credentials.access_key, key, session_token=credentials.token, include_hdrs=("host", "x-amz-*"))


class _UnsignedPayload(AWS4Auth):  # type: ignore[misc]
    """Leaves the body out of the signature, as VPC Lattice demands; AWS4Auth would replace the header that says so.

    See https://docs.aws.amazon.com/vpc-lattice/latest/ug/sigv4-authenticated-requests.html
    """

    @classmethod
    def get_canonical_headers(cls, req: Any, include: Any = None) -> Any:
        """Note in the request that its body is not signed, before the headers are."""
        req.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
        return super().get_canonical_headers(req, include)


@functools.lru_cache(maxsize=8)
def _signing_key(secret_key: str, region: str, service: str, date: str) -> AWS4SigningKey:
    """Return the key that signs for a day: 3 % of a warm call. AWS4Auth makes another if the day ends first."""
    return AWS4SigningKey(secret_key, region, service, date)


@functools.cache
def _class_for(bases: tuple[type, ...]) -> type:
    return type("Auth", (Auth, *bases), {})


def _sent_url(request: Any) -> str:
    url = request.url
    return f"{url.scheme}://{url.netloc.decode()}{url.raw_path.decode()}"


def _set_trace(request: Any, trace: Callable[..., Any]) -> Any:
    """Have httpx call `trace` with each step on the wire, and return what it would have called."""
    given = request.extensions.get("trace")
    request.extensions = {**request.extensions, "trace": trace}
    return given


def _refuse_early(name: str, info: dict[str, Any]) -> None:
    """Raise before httpx follows a redirect, which it does below the auth and with the session token."""
    if name.endswith("receive_response_headers.complete"):
        *parts, headers = info["return_value"]  # HTTP/1.1: version, status, reason, headers; HTTP/2: status, headers
        status = next(part for part in parts if isinstance(part, int))
        if status in _REDIRECTS and any(header.lower() == b"location" for header, _ in headers):
            raise errors.RedirectError(status)


def _refuse_followed(response: Any) -> None:
    """Raise after a redirect of a transport without connections, such as a substitute in a test."""
    for each in (*response.history, response):
        if each.has_redirect_location:
            raise errors.RedirectError(each.status_code)


def _refuse_redirect(response: Any, **_: Any) -> None:
    if response.is_redirect:
        raise errors.RedirectError(response.status_code)
