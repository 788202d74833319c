"""Everything that can go wrong with a call, as types.

    CallerError
    ├── SettingsError                the caller's own configuration
    ├── InvalidCallError             the call as it was given; nothing was sent
    ├── AssumeRoleError              no session of the executor role
    ├── DeadlineError                no time left for another attempt
    ├── UnreachableError             no answer, or only a part of one
    ├── AnswerError                  an answer that cannot be used
    │   ├── GarbledAnswerError       JSON by its content type, but not by its content
    │   └── AnswerTooLargeError      more than Lambda could hand on
    └── ApiError                     an answer other than 2xx
        ├── RedirectError            3xx
        ├── RejectedError            4xx
        │   ├── RefusedError         403
        │   │   └── ExpiredSessionError
        │   ├── NotFoundError        404
        │   ├── ConflictError        409
        │   │   └── InProgressError
        │   └── ThrottledError       429
        └── ServerError              5xx

Lambda shows the type's name as `errorType` and the message as `errorMessage`. Each message says what was wrong, what is
allowed, and which account can mend it. None holds a credential, a body, a query or a header value.
"""

import re
from typing import ClassVar

_SHOWN = 500
_CLOCK = "Account B: set the clock."

type _Hints = tuple[tuple[str, str, str], ...]
"""An error code, words of the message, and the hint: AWS tells some causes apart in the message only."""


def _find_hint(hints: _Hints, code: str, detail: str) -> str:
    return next((hint for name, words, hint in hints if name == code and words in detail), "")


def _one_line(text: str) -> str:
    """Return the first line of what somebody else said, short and printable.

    One line only: below it, API Gateway quotes the canonical request, session token included.
    """
    first, *_ = text.strip().splitlines() or [""]
    return re.sub(r"[^\x20-\x7e]", "?", first)[:_SHOWN]


class CallerError(Exception):
    """A call that was not made, or not answered with 2xx.

    Args:
        saw: What was wrong.
        mend: Which account can mend it, and how.
    """

    def __init__(self, saw: str, mend: str) -> None:
        super().__init__(f"{saw} {mend}")
        self.saw = saw
        self.mend = mend


class SettingsError(CallerError):
    """An environment variable, or an option in its place, is missing or wrong.

    Args:
        variable: The environment variable.
        value: What it holds, in a form that may be logged.
        allowed: What it must hold.
    """

    def __init__(self, variable: str, value: str, allowed: str) -> None:
        super().__init__(
            f"{variable} is {value}. It must be {allowed}.",
            "Account B: correct the stack's parameter, or the option of call-api.",
        )
        self.variable = variable
        self.value = value
        self.allowed = allowed


class InvalidCallError(CallerError):
    """The call breaks a rule of the form; nothing was sent.

    Args:
        field: The field, with a dot before the name inside it (`headers.Host`).
        value: What it holds, in a form that may be logged.
        allowed: What it may hold.
    """

    def __init__(self, field: str, value: str, allowed: str) -> None:
        super().__init__(f"{field} is {value}. Allowed: {allowed}.", "Account B: mend the call; nothing was sent.")
        self.field = field
        self.value = value
        self.allowed = allowed


class AssumeRoleError(CallerError):
    """STS gave no session of the executor role.

    Args:
        role: The role, or the profile that names it.
        code: The error code of STS, or the type of the failure if STS could not be asked.
        detail: What STS or the SDK said about it.

    See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html#API_AssumeRole_Errors
    """

    _OWN_CREDENTIALS = "Account B: the caller's own credentials are not valid."
    _HINTS: ClassVar[_Hints] = (
        (
            "AccessDenied",
            "MultiFactorAuthentication failed",
            "Account B: the MFA code is wrong or was used before, or mfa_serial is not the user's device.",
        ),
        (
            "AccessDenied",
            "",
            "AWS does not say which side refused. Account B: allow sts:AssumeRole on exactly this role. "
            "Account A: check the trust policy's account, ExternalId, session name, principal and MFA.",
        ),
        ("ExpiredToken", "", _OWN_CREDENTIALS),
        ("InvalidClientTokenId", "", _OWN_CREDENTIALS),
        ("NoCredentialsError", "", _OWN_CREDENTIALS),
        ("ProfileNotFound", "", "Account B: name a profile of your AWS configuration."),
        (
            "RegionDisabledException",
            "",
            "Account B: enable this region for STS, or deploy the stack in another one.",
        ),
        ("SignatureDoesNotMatch", "Signature expired", _CLOCK),
        ("SignatureDoesNotMatch", "Signature not yet current", _CLOCK),
        ("SignatureDoesNotMatch", "", _OWN_CREDENTIALS),
        ("ValidationError", "", "Account B: check the role's ARN, the ExternalId and the session name."),
    )

    def __init__(self, role: str, code: str, detail: str) -> None:
        other = "Account B: STS must be reachable from here; a later attempt may succeed."
        hint = _find_hint(self._HINTS, code, detail) or other
        super().__init__(f"No session of {role}: {code}: {_one_line(detail).rstrip('.')}.", hint)
        self.role = role
        self.code = code


class DeadlineError(CallerError):
    """Too little time is left for an attempt that could finish.

    The last failure, if there was one, is the cause (`__cause__`).

    Args:
        left: Seconds until the deadline.
        wait: Seconds to wait before the next attempt.
        attempts: How many attempts were made.
        failure: The last attempt's failure.
    """

    def __init__(self, left: float, wait: float, attempts: int, failure: CallerError | None) -> None:
        last = f" Last failure: {type(failure).__name__}: {failure}" if failure else ""
        super().__init__(
            f"No time for attempt {attempts + 1}: {max(left, 0):.1f} s are left and it would start in {wait:.1f} s.",
            f"Account B: raise the function's timeout, or make the batch smaller, if this happens often.{last}",
        )
        self.attempts = attempts


class UnreachableError(CallerError):
    """The connection failed before the whole answer was there; the API may have done the work.

    Args:
        reason: The kind of failure and the system's own words for it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"No complete answer from the API: {_one_line(reason)}.",
            "Account B: check API_URL and the way out of the network. Account A: check that the API is there.",
        )


class AnswerError(CallerError):
    """The API answered 2xx with something that cannot be used; it has done the work."""


class GarbledAnswerError(AnswerError):
    """The answer calls itself JSON and is not.

    Args:
        request_id: The API's request id.
    """

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"The answer's content type is JSON but its body is not (request id {request_id or 'unknown'}).",
            "Account A: mend the backend's answer.",
        )


class AnswerTooLargeError(AnswerError):
    """The answer is larger than a Lambda function can return.

    Args:
        limit: The largest body accepted, in bytes.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The answer's body is over {limit} bytes.", "Account B: ask for less. Account A: answer in pages."
        )


class ApiError(CallerError):
    """The API answered with a status other than 2xx.

    Args:
        status: The HTTP status code.
        request_id: The API's request id, to be found in account A's access log.
        code: The API's error code: API Gateway's `x-amzn-errortype`, or the backend's own.
        detail: The API's error message.
        retry_after: Seconds after which the API asks to be tried again; None if it does not say.
    """

    hint: ClassVar[str]

    def __init__(
        self,
        status: int,
        *,
        request_id: str = "",
        code: str = "",
        detail: str = "",
        retry_after: float | None = None,
    ) -> None:
        said = ": ".join(filter(None, (_one_line(code), _one_line(detail))))
        parts = [
            f"The API answered {status}{f' {said}' if said else ''} (request id {request_id or 'unknown'}).",
            f"It asks to wait {retry_after:.0f} s." if retry_after is not None else "",
        ]
        super().__init__(" ".join(filter(None, parts)), self._advice(code, detail))
        self.status = status
        self.request_id = request_id
        self.code = code
        self.detail = detail
        self.retry_after = retry_after

    def _advice(self, code: str, detail: str) -> str:
        del code, detail
        return self.hint


class RedirectError(ApiError):
    """3xx: not followed, since the session token would go to wherever the answer points."""

    hint = "Account B: API_URL must be the API's own address; a redirect is never followed."


class RejectedError(ApiError):
    """4xx: sending the same call again changes nothing."""

    hint = "Account B: mend the call."


class RefusedError(RejectedError):
    """403: IAM, the resource policy, AWS WAF or the backend refuses the caller.

    See https://repost.aws/knowledge-center/api-gateway-troubleshoot-403-forbidden
    """

    hint = "Account A: the API refuses this caller."
    _HINTS: ClassVar[_Hints] = (
        (
            "AccessDeniedException",
            "explicit deny in an identity-based policy",
            "Account A: the role's sessions were revoked, or a policy of the role denies this method and path.",
        ),
        (
            "AccessDeniedException",
            "explicit deny",
            "Account A: the API's resource policy denies it. Account B: only a session of the executor role may call.",
        ),
        ("AccessDeniedException", "", "Account A: the executor role's policy lacks this method and path."),
        (
            "ForbiddenException",
            "",
            "Account B: check the host and the stage in API_URL. "
            "Account A: AWS WAF, an API key or a private API's endpoint may refuse the request.",
        ),
        ("IncompleteSignatureException", "", "Account B: something on the way changes the Authorization header."),
        ("InvalidSignatureException", "Signature expired", _CLOCK),
        ("InvalidSignatureException", "Signature not yet current", _CLOCK),
        (
            "InvalidSignatureException",
            "Credential should be scoped",
            "Account B: API_REGION must be the API's region.",
        ),
        (
            "InvalidSignatureException",
            "",
            "Account B: check API_REGION, the secret access key, and whether something on the way changes host, path "
            "or body.",
        ),
        (
            "MissingAuthenticationTokenException",
            "",
            "Account B: API_URL, path or method does not exist at this stage.",
        ),
    )

    def _advice(self, code: str, detail: str) -> str:
        return _find_hint(self._HINTS, code, detail) or self.hint


class ExpiredSessionError(RefusedError):
    """403: the session itself is expired or unknown."""

    hint = "The session is refused although it is new. Account B: check the clock and the partition of API_URL."


class NotFoundError(RejectedError):
    """404: the backend knows no such thing."""

    hint = "Account B: check the path and the ids in it."


class ConflictError(RejectedError):
    """409: the call conflicts with another one, or the same one is still being worked on."""

    hint = "Account B: the same idempotency key is in use, or the thing has changed meanwhile."


class InProgressError(ConflictError):
    """409 with Retry-After: the backend is still at work on the same idempotency key."""

    hint = "Account A: an earlier attempt with this idempotency key has not ended."


class ThrottledError(RejectedError):
    """429: more calls than the API takes."""

    hint = "Account A: raise the stage's throttling. Account B: lower the queue's concurrency."


class ServerError(ApiError):
    """5xx: the API or its backend failed."""

    hint = "Account A: find the request id in the API's access log, then in the backend's log."
