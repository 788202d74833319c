"""The command beside an AWS of its own: STS and IAM of account B, and the API, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from botocore.awsrequest import AWSResponse
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ConnectTimeoutError
from click.testing import CliRunner, Result

from call_api.__main__ import main
from cross_account_api.transport import HttpResponse, Request, Timeout
from cross_account_lab.judge import sigv4
from cross_account_lab.judge.loopback import Response
from cross_account_lab.judge.sts import assume_role_response, sts_error
from tests.support.fakes import EXECUTOR_ROLE_ARN, EXTERNAL_ID, FakeApi, Reply, aws_response, refusal
from tests.support.reports import Report

MFA_FAILED = "MultiFactorAuthentication failed"
MFA_SERIAL = "arn:aws:iam::222222222222:mfa/my-user"
USER = "arn:aws:iam::222222222222:user/staff/my-user"
SESSION = "arn:aws:sts::222222222222:assumed-role"
ME = "[profile me]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret\nregion = eu-west-1\n"
ORDERS = {
    "role_arn": EXECUTOR_ROLE_ARN,
    "source_profile": "me",
    "external_id": EXTERNAL_ID,
    "role_session_name": "222222222222-my-user",
    "region": "eu-west-1",
}


def config_text(profile: Mapping[str, str | None]) -> str:
    """Return the configuration of profile me, and of profile orders with some settings changed; None takes one away."""
    lines = [f"{name} = {value}\n" for name, value in {**ORDERS, **profile}.items() if value is not None]
    return f"{ME}\n[profile orders]\n{''.join(lines)}"


class GuardedApi(FakeApi):
    """The API, which also meets unsigned requests."""

    def __init__(self) -> None:
        super().__init__()
        self.stranger: Reply | Exception = refusal(
            "MissingAuthenticationTokenException", "Missing Authentication Token"
        )

    def send(self, request: Request, timeout: Timeout) -> HttpResponse:
        if "Authorization" in request.headers:
            return super().send(request, timeout)
        if isinstance(self.stranger, Exception):
            raise self.stranger
        headers = {name.lower(): value for name, value in self.stranger.headers.items()}
        return HttpResponse(self.stranger.status, headers, self.stranger.body)


@dataclass
class FakeAws:
    """STS and IAM, as the caller `arn` of account B meets them; the API accepts the sessions.

    Attributes:
        principal: The ARN by which IAM knows the caller; it says so if `shows_roles`.
        simulation: IAM's decision on its policies, and the context that it lacked; None if it may not be asked.
        failure: STS's response to AssumeRole: status, code and message.
        unknown: The same to GetCallerIdentity.
        is_down: Nothing responds.
        ahead: How far AWS's clock is ahead, in seconds.
    """

    api: FakeApi
    arn: str = USER
    principal: str = USER
    shows_roles: bool = False
    simulation: tuple[str, list[str]] | None = None
    mfa_code: str = ""
    failure: tuple[int, str, str] | None = None
    unknown: tuple[int, str, str] | None = None
    is_down: bool = False
    ahead: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)

    def send(self, request: Any) -> AWSResponse:
        if self.is_down:
            raise ConnectTimeoutError(endpoint_url=request.url)
        form = {name: values[0] for name, values in parse_qs(request.body).items()}
        self.asked.append(form)
        status, text = self._respond(form, request.url)
        date = datetime.now(UTC) + timedelta(seconds=self.ahead)
        headers = {"Date": date.strftime("%a, %d %b %Y %H:%M:%S GMT")}
        return aws_response(request.url, Response(status, headers, text))

    def _respond(self, form: Mapping[str, str], url: str) -> tuple[int, bytes]:
        match form["Action"]:
            case "AssumeRole" if form.get("TokenCode", "") != self.mfa_code:
                return 403, sts_error(403, "AccessDenied", f"{MFA_FAILED} with invalid MFA one time pass code.").body
            case "AssumeRole" if self.failure:
                return self.failure[0], sts_error(*self.failure).body
            case "AssumeRole" | "AssumeRoleWithWebIdentity":
                number = len(self.asked)
                key, secret, token = f"ASIAEXAMPLE{number}", f"secret-{number}", f"token-{number}"
                self.api.sessions[token] = ReadOnlyCredentials(key, secret, token)
                expires = datetime.now(UTC) + timedelta(hours=1)
                issued = assume_role_response(key, sigv4.Credentials(secret, token), "222222222222-me", expires).body
                return 200, issued.replace(b"AssumeRoleRe", f"{form['Action']}Re".encode())
            case "GetCallerIdentity" if self.unknown:
                return self.unknown[0], sts_error(*self.unknown).body
            case "GetCallerIdentity":
                text = f"<Arn>{self.arn}</Arn><Account>{self.arn.split(':')[4]}</Account>"
            case "GetRole" if self.shows_roles:
                text = f"<Role><Arn>{self.principal}</Arn></Role>"
            case "SimulatePrincipalPolicy" if self.simulation and form["PolicySourceArn"] == self.principal:
                decision, missing = self.simulation
                names = "".join(f"<member>{name}</member>" for name in missing)
                text = (
                    "<EvaluationResults><member><EvalActionName>sts:AssumeRole</EvalActionName><EvalDecision>"
                    f"{decision}</EvalDecision><MissingContextValues>{names}</MissingContextValues></member>"
                    "</EvaluationResults>"
                )
            case _:
                raise ConnectTimeoutError(endpoint_url=url)
        action = form["Action"]
        return 200, f"<{action}Response><{action}Result>{text}</{action}Result></{action}Response>".encode()


def run(*arguments: str, text: str | bytes | None = None, charset: str = "utf-8") -> Result:
    """Run the command; whatever goes wrong must be told in a message."""
    result = CliRunner(mix_stderr=False, charset=charset).invoke(main, arguments, input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def said(result: Result) -> str:
    """Return everything that was written, in one line."""
    return " ".join(f"{result.stdout} {result.stderr}".split())


def examine(*arguments: str, profile: str | None = "orders") -> Report:
    """Run doctor."""
    result = run("doctor", "--json", *(["--profile", profile] if profile else []), *arguments)
    return Report(result.exit_code, result.stdout)
