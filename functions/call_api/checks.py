"""What a step of doctor shows, and how the API's responses are judged."""

from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from call_api.causes import Cause
from call_api.settings import find_remedy
from cross_account_api import errors
from cross_account_api.call import Call
from cross_account_api.denials import Denial
from cross_account_api.response import Response

CALL_STEPS = {
    "path": "a method and path that the stage has",
    "signature": "a signature that API Gateway computes as well",
    "permission": "no policy that denies this call, and one that allows it",
    "backend": "2xx",
}
"""What one signed request shows, in the order in which AWS looks at it, and what is expected."""

_GIVE_A_PATH = "Give a path that the role may GET: call-api doctor /path, or api_path in the profile."


class Status(StrEnum):
    """How a step ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_TRIED = "not tried"


@dataclass(frozen=True)
class CheckResult:
    """What one step showed, and which account can fix it."""

    status: Status
    observed: str  # or why it was not tried
    expected: str = ""
    remedy: str = ""
    causes: tuple[Cause, ...] = ()


ok = partial(CheckResult, Status.OK)
skipped = partial(CheckResult, Status.NOT_TRIED)


def warning(observed: str, remedy: str) -> CheckResult:
    """Return what may be wrong."""
    return CheckResult(Status.WARNING, observed, remedy=remedy)


def failed(observed: str | errors.CallError, expected: str, remedy: str = "") -> CheckResult:
    """Return what is wrong; an error brings its own remedy."""
    if isinstance(observed, errors.CallError):
        remedy = remedy or find_remedy(observed)
        observed = observed.problem
    return CheckResult(Status.FAILED, observed, expected, remedy)


def judge_stage(unsigned: Response | errors.CallError, *, is_http_api: bool, is_chosen: bool) -> CheckResult:
    """Judge by the response to an unsigned request whether there is an API that is closed to strangers."""
    expected = "an API that refuses an unsigned request"
    match unsigned:
        case Response(status=status):
            observed = f"an unsigned request is answered with {status}"
            if not is_chosen:
                return warning(observed, _GIVE_A_PATH)
            remedy = "Account A: the API is open to everybody; its methods must have the authorizer AWS_IAM."
            return failed(observed, expected, remedy)
        case errors.ForbiddenError(code="ForbiddenException" | "WafAction") | errors.RedirectError() as error:
            return failed(error, expected)
        case errors.ForbiddenError() | errors.ThrottledError() | errors.ServerError() as error:
            kind = " by an HTTP API" if is_http_api else ""
            return ok(f"an unsigned request is refused{kind} with {error.status} {error.code}".rstrip())
        case errors.NotFoundError() if is_http_api:
            return ok("an HTTP API")
        case errors.ApiError(status=401) as error:
            remedy = "Account A: the method has another authorizer; for signed calls it must be AWS_IAM."
            return failed(error, expected, remedy)
        case errors.CallError() as error:
            return failed(error, expected, "Account B: the API's URL must be account A's output ApiUrl.")


def judge_call(
    signed: Response | errors.CallError, call: Call, *, is_http_api: bool, is_chosen: bool, region: str, seconds: float
) -> dict[str, CheckResult]:
    """Judge by the response to a signed request the steps that it went through."""
    results = {
        "path": ok(f"GET {call.path}"),
        "signature": ok(f"accepted for {region}"),
        "permission": ok(f"GET {call.path} is allowed"),
        "backend": ok(f"{getattr(signed, 'status', '')} in {seconds:.2f} s"),
    }
    if isinstance(signed, Response):
        return results
    step = _failed_step(signed, is_http_api=is_http_api)
    if is_chosen or not _may_be_the_path(step, signed):
        results[step] = failed(signed, CALL_STEPS[step])
    elif step != "backend":
        results[step] = warning(signed.problem, _GIVE_A_PATH)
    if is_http_api and step == "permission" and isinstance(signed, errors.ApiError) and not signed.code:
        results["signature"] = skipped("an HTTP API does not tell a wrong one from a missing permission")
    steps = list(CALL_STEPS)
    return results | dict.fromkeys(steps[steps.index(step) + 1 :], skipped(f"the {step} comes first"))


def _failed_step(error: errors.CallError, *, is_http_api: bool) -> str:
    match error:
        case errors.ExpiredSessionError():
            return "signature"
        case errors.ForbiddenError(code="InvalidSignatureException" | "IncompleteSignatureException"):
            return "signature"
        case errors.ForbiddenError(code="MissingAuthenticationTokenException" | "ForbiddenException" | "WafAction"):
            return "path"
        case errors.NotFoundError(code="", detail="Not Found") if is_http_api:
            return "path"
        case errors.ForbiddenError(code="AccessDeniedException") | errors.ForbiddenError(code="", detail="Forbidden"):
            return "permission"
    return "backend"


def _may_be_the_path(step: str, error: errors.CallError) -> bool:
    """Whether a failure may be due to a path that nobody chose: the stage lacks it, or the role is not granted it."""
    if not isinstance(error, errors.ApiError):
        return False
    if step == "backend":
        return 400 <= error.status < 500 and error.status not in (403, 429)
    if denial := Denial.parse(error.detail):
        return denial.is_of_executor and not denial.explicit and denial.policy in ("", "identity-based policy")
    return step in ("path", "permission") and error.code not in ("ForbiddenException", "WafAction")
