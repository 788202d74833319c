"""Everything that can go wrong with a call, as types.

    CallError
    ├── SettingsError                the caller's own configuration
    ├── InvalidCallError             the call breaks a rule; no request was sent
    ├── AssumeRoleError              no credentials to sign with
    ├── DeadlineError                no time left for another attempt
    ├── ConnectionFailedError        no complete response
    │   └── CertificateError         the API's certificate is not trusted
    ├── ResponseError                a 2xx response that cannot be used
    │   ├── InvalidResponseError     its content type says JSON, its content does not
    │   └── ResponseTooLargeError    more than can be handed on
    └── ApiError                     a response other than 2xx
        ├── RedirectError            3xx
        ├── BadRequestError          4xx
        │   ├── ForbiddenError       403
        │   │   └── ExpiredSessionError
        │   ├── NotFoundError        404
        │   ├── ConflictError        409
        │   │   └── InProgressError
        │   └── ThrottledError       429
        └── ServerError              5xx

Each message says what was wrong, what is allowed, and which account can fix it. No message contains credentials, a
body, a query or a header value. Lambda reports the type's name as `errorType` and the message as `errorMessage`.
"""

import re
from collections.abc import Mapping
from typing import ClassVar

from cross_account_api import advice
from cross_account_api.advice import Advice
from cross_account_api.denials import Denial
from cross_account_api.redaction import redact

_SECRET = re.compile(r"(?<=AWS4-HMAC-SHA256).+|[\w+/=%-]{200,}", re.ASCII)


def one_line(text: str) -> str:
    """Return the first line of someone else's text, short and printable.

    One line only: below it, API Gateway quotes the canonical request, session token included. An Authorization header,
    and what is as long as a session token, is not shown.
    """
    first, *_ = redact(text).strip().splitlines() or [""]
    return _SECRET.sub("(not shown)", re.sub(r"[^\x20-\x7e]", "?", first))[:500]


class CallError(Exception):
    """A call that was not made, or not answered with 2xx.

    Attributes:
        problem: What was wrong.
        remedy: Which account can fix it, and how.
        attempts: How many requests were sent.
        throttled: How many of them were answered with 429.
        may_have_arrived: Whether the API may have carried out the request all the same.
    """

    attempts: int = 0
    throttled: int = 0
    may_have_arrived: bool = False

    def __init__(self, problem: str, *sentences: str, **names: object) -> None:
        super().__init__()
        self.problem = problem
        self._sentences, self._names = sentences, names
        CallError.reword(self, {})

    def reword(self, words: Mapping[str, str]) -> None:
        """Say some of the advice in an application's own words: by `Advice`, the sentence in its place."""
        self.remedy = advice.fill((words.get(each, each) for each in self._sentences), self._names)
        self.args = (f"{self.problem} {self.remedy}",)


class SettingsError(CallError):
    """An argument, environment variable or option is missing or wrong; `value` may be logged."""

    def __init__(self, setting: str, value: str, allowed: str) -> None:
        super().__init__(f"{setting} is {value}. It must be {allowed}.", f"Account B: correct {setting}.")
        self.setting, self.value, self.allowed = setting, value, allowed


class InvalidCallError(CallError):
    """The call breaks a rule of its form, and is not sent; `field` has a dot before a name in it (`headers.Host`)."""

    def __init__(self, field: str, value: str, allowed: str) -> None:
        super().__init__(f"{field} is {value}. Allowed: {allowed}.", "Account B: fix the call. No request was sent.")
        self.field, self.value, self.allowed = field, value, allowed


class AssumeRoleError(CallError):
    """There are no credentials to sign with.

    `role` may be the profile that names it, `code` the type of the failure if STS could not be asked; `profile`, where
    the first credentials come from, is for the command that signs in to it.

    See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html#API_AssumeRole_Errors
    """

    def __init__(self, role: str, code: str, detail: str, *, profile: str = "") -> None:
        detail = redact(detail)
        denial = Denial.parse(detail) if code.startswith("AccessDenied") else None
        default = "Account B: correct the credentials or the AWS configuration."
        sentences, names = denial.advise() if denial else ((advice.find(advice.STS, code, detail, default),), {})
        what = "Could not assume" if role.startswith("arn:") else "No credentials from"
        said = ": ".join(filter(None, (code, one_line(detail).rstrip("."))))
        super().__init__(f"{what} {role}: {said}.", *sentences, **names, profile=profile or "<profile>")
        self.role, self.code, self.detail = role, code, detail


class DeadlineError(CallError):
    """Too little time is left for an attempt that could finish; the last failure, if any, is its `__cause__`."""

    def __init__(self, left: float, pause: float, attempts: int, failure: CallError | None) -> None:
        times = f"{max(left, 0):.1f} s are left and it would start in {pause:.1f} s."
        problem = f"No time for attempt {attempts + 1}: {times}"
        last = ("Last failure: {kind}: {failure}",) if failure else ()
        super().__init__(problem, Advice.NO_TIME, *last, kind=type(failure).__name__, failure=failure)
        self.may_have_arrived = failure is not None and failure.may_have_arrived

    def reword(self, words: Mapping[str, str]) -> None:
        """Say some of the advice in an application's own words, that on the last failure as well."""
        if isinstance(failure := self._names["failure"], CallError):
            failure.reword(words)
        super().reword(words)


class ConnectionFailedError(CallError):
    """The connection failed before the response was complete."""

    hint = (
        "Account B: check the API's URL, and whether this network lets it out. Account A: check that the API exists, "
        "and that it responds in time."
    )

    def __init__(self, reason: str, *, may_have_arrived: bool, remedy: str = "") -> None:
        super().__init__(f"No complete response from the API: {one_line(reason).rstrip('.')}.", remedy or self.hint)
        self.may_have_arrived = may_have_arrived


class CertificateError(ConnectionFailedError):
    """The API's certificate is not trusted; no request was sent."""

    hint = (
        "Account B: if something on the network intercepts TLS, AWS_CA_BUNDLE or the profile's ca_bundle, else "
        "REQUESTS_CA_BUNDLE, must contain its CA. Account A: check the certificate of a custom domain."
    )

    def __init__(self, reason: str) -> None:
        super().__init__(reason, may_have_arrived=False)


class ResponseError(CallError):
    """A 2xx response that cannot be used; the API has done the work."""

    may_have_arrived = True


class InvalidResponseError(ResponseError):
    """The content type says JSON, and the body is not JSON that can be handed on."""

    def __init__(self, request_id: str) -> None:
        problem = f"The response's content type is JSON but its body is not (request id {request_id or 'unknown'})."
        super().__init__(problem, "Account A: fix the backend's response.")


class ResponseTooLargeError(ResponseError):
    """The response is larger than what can be handed on."""

    def __init__(self, size: int, limit: int) -> None:
        problem = f"The response has {size} bytes or more; the client takes {limit} at most."
        super().__init__(problem, "Account B: ask for less. Account A: answer in pages.")


class ApiError(CallError):
    """A response other than 2xx.

    Attributes:
        request_id: API Gateway's request id, to be found in account A's access log.
        code: API Gateway's `x-amzn-errortype`, or the backend's own error code.
        detail: The error message.
        retry_after: Seconds after which the API asks to be tried again; None if it does not say.
    """

    hint: ClassVar[str]
    _hints: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self, status: int, *, request_id: str = "", code: str = "", detail: str = "", retry_after: float | None = None
    ) -> None:
        code, detail = redact(code), redact(detail)
        said = ": ".join(filter(None, (one_line(code), one_line(detail))))
        problem = f"The API answered {status}{f' {said}' if said else ''} (request id {request_id or 'unknown'})."
        if retry_after is not None:
            problem += f" It asks to wait {retry_after:.0f} s."
        denial = Denial.parse(detail) if status == 403 and code == "AccessDeniedException" else None
        sentences, names = denial.advise() if denial else ((advice.find(self._hints, code, detail, self.hint),), {})
        super().__init__(problem, *sentences, **names)
        self.status, self.request_id, self.retry_after = status, request_id, retry_after
        self.code, self.detail = code, detail


class RedirectError(ApiError):
    """3xx: not followed, since the session token would go wherever it points."""

    hint = "Account B: use the API's own URL; redirects are never followed."


class BadRequestError(ApiError):
    """4xx: sending the same call again changes nothing."""

    hint = "Account B: fix the call."


class ForbiddenError(BadRequestError):
    """403: IAM, the resource policy or the backend refuses the caller; or any status by which AWS WAF stops a request.

    See https://repost.aws/knowledge-center/api-gateway-troubleshoot-403-forbidden
    """

    hint = "Account A: the API refuses this caller."
    _hints = advice.FORBIDDEN


class ExpiredSessionError(ForbiddenError):
    """403: the session itself is expired or unknown."""

    hint = (
        "Account B: the session has expired or is not valid: get a new one. If that is rejected too, check the clock "
        "and the partition of the API's URL."
    )
    _hints = advice.EXPIRED


class NotFoundError(BadRequestError):
    """404: the API has no such resource."""

    hint = "Account B: check the path and the ids in it."


class ConflictError(BadRequestError):
    """409: the call conflicts with another one, or the same one is still in progress."""

    hint = "Account B: the same idempotency key is in use, or the resource has changed."


class InProgressError(ConflictError):
    """409 with Retry-After: the backend is still at work on the same idempotency key."""

    hint = "Account A: an earlier attempt with this idempotency key has not ended."


class ThrottledError(BadRequestError):
    """429: more calls than the API accepts."""

    hint = "Account A: raise the stage's throttling. Account B: call less often; lower the queue's concurrency, if any."
    _hints = advice.THROTTLED

    @property
    def is_quota(self) -> bool:
        """Whether a usage plan's quota is used up, rather than its rate or the stage's."""
        return self.code == "LimitExceededException" or self.detail == "Limit Exceeded"


class ServerError(ApiError):
    """5xx: the API or its backend failed."""

    hint = "Account A: find the request id in the API's access log, then in the backend's log."
    may_have_arrived = True
