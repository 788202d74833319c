"""`call-api doctor` where no lab breaks: policies of every kind, MFA, other sources of credentials, STS in trouble."""

from __future__ import annotations

import getpass
import io
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import botocore.exceptions
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.credentials import AssumeRoleProvider
from botocore.exceptions import BotoCoreError, ConnectTimeoutError, HTTPClientError
from click.testing import CliRunner

from call_api.__main__ import main
from cross_account_api.errors import CertificateError, ConnectionFailedError, ExpiredSessionError
from cross_account_api.transport import Connections, HttpResponse, Request, Timeout
from tests.support.fakes import (
    API_URL,
    EXECUTOR_ROLE_ARN,
    FakeApi,
    FakeCredentials,
    FakeSts,
    Reply,
    json_reply,
    refusal,
    unreachable,
)

MFA_SERIAL = "arn:aws:iam::222222222222:mfa/my-user"
USER = "arn:aws:iam::222222222222:user/my-user"
SESSION = "arn:aws:sts::222222222222:assumed-role"
CONFIG = f"""\
[profile me]
aws_access_key_id = AKIAEXAMPLE
aws_secret_access_key = secret
region = eu-west-1

[profile orders]
role_arn = {EXECUTOR_ROLE_ARN}
source_profile = me
external_id = orders-7f3c9a51
role_session_name = 222222222222-my-user
region = eu-west-1
"""


class Raw(io.BytesIO):
    def stream(self, *_: object) -> Iterator[bytes]:
        yield self.read()


@dataclass
class Aws:
    """STS and IAM in account B."""

    sts: FakeSts
    arn: str = USER
    principal: str = USER
    shows_roles: bool = False
    simulation: tuple[str, list[str]] | None = None
    mfa_code: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)

    def send(self, request: Any) -> AWSResponse:
        form = {name: values[0] for name, values in parse_qs(request.body).items()}
        self.asked.append(form)
        match form["Action"]:
            case "AssumeRole":
                if form.get("TokenCode", "") != self.mfa_code:
                    message = "MultiFactorAuthentication failed with invalid MFA one time pass code."
                    self.sts.failure = (403, "AccessDenied", message)
                return self.sts.send(request)
            case "GetCallerIdentity":
                return self._xml(request, f"<Arn>{self.arn}</Arn><Account>222222222222</Account>")
            case "AssumeRoleWithWebIdentity":
                session = FakeCredentials(self.sts.api).session
                return self._xml(
                    request,
                    f"<Credentials><AccessKeyId>{session.access_key}</AccessKeyId><SecretAccessKey>{session.secret_key}"
                    f"</SecretAccessKey><SessionToken>{session.token}</SessionToken>"
                    "<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>",
                )
            case "GetRole" if self.shows_roles:
                return self._xml(request, f"<Role><Arn>{self.principal}</Arn></Role>")
            case "SimulatePrincipalPolicy" if self.simulation and form["PolicySourceArn"] == self.principal:
                decision, missing = self.simulation
                names = "".join(f"<member>{name}</member>" for name in missing)
                return self._xml(
                    request,
                    "<EvaluationResults><member><EvalActionName>sts:AssumeRole</EvalActionName>"
                    f"<EvalDecision>{decision}</EvalDecision><MissingContextValues>{names}</MissingContextValues>"
                    "</member></EvaluationResults>",
                )
        raise ConnectTimeoutError(endpoint_url=request.url)

    @staticmethod
    def _xml(request: Any, text: str) -> AWSResponse:
        action = parse_qs(request.body)["Action"][0]
        body = f"<{action}Response><{action}Result>{text}</{action}Result></{action}Response>"
        headers = HTTPHeaders()
        headers["Date"] = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        return AWSResponse(request.url, 200, headers, Raw(body.encode()))


class GuardedApi(FakeApi):
    """The API, which also meets unsigned requests."""

    def __init__(self) -> None:
        super().__init__()
        self.stranger: Reply | ConnectionFailedError = refusal(
            "MissingAuthenticationTokenException", "Missing Authentication Token"
        )

    def send(self, request: Request, timeout: Timeout) -> HttpResponse:
        if "Authorization" in request.headers:
            return super().send(request, timeout)
        if isinstance(self.stranger, ConnectionFailedError):
            raise self.stranger
        headers = {name.lower(): value for name, value in self.stranger.headers.items()}
        return HttpResponse(self.stranger.status, headers, self.stranger.body)

    def become_http_api(self, signed: Reply) -> None:
        forbidden = json_reply(403, {"message": "Forbidden"}, apigw_requestid="B1=")
        self.stranger = forbidden
        self.rest = signed


class Report:
    """What doctor printed as JSON."""

    def __init__(self, *arguments: str, profile: str | None = "orders", url: str = API_URL) -> None:
        options = [*(["--profile", profile] if profile else []), *(["--api-url", url] if url else [])]
        result = CliRunner(mix_stderr=False).invoke(main, ["doctor", "--json", *options, *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        found = json.loads(result.stdout)
        self.exit_code = result.exit_code
        self.next: str = found["next"]
        self.steps: dict[str, dict[str, Any]] = {step["step"]: step for step in found["steps"]}

    def having(self, status: str) -> list[str]:
        return [name for name, step in self.steps.items() if step["status"] == status]

    def causes(self, part: str) -> dict[str, str]:
        return {cause["name"]: cause[part] for cause in self.steps["AssumeRole"]["causes"]}


@pytest.fixture
def api() -> GuardedApi:
    return GuardedApi()


@pytest.fixture
def aws(api: GuardedApi, monkeypatch: pytest.MonkeyPatch) -> Aws:
    aws = Aws(FakeSts(api))
    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", lambda _, request: aws.send(request))
    return aws


@pytest.fixture(autouse=True)
def config(aws: Aws, api: GuardedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config"
    path.write_text(CONFIG)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("call_api.diagnosis.Connections", lambda *_: api)
    monkeypatch.setattr(
        "socket.getaddrinfo", lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 443))]
    )
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return path


def answer_prompt(monkeypatch: pytest.MonkeyPatch, prompter: Callable[[str], str]) -> None:
    """Type in the place of a person; botocore has its prompter as the default of an argument."""
    defaults = AssumeRoleProvider.__init__.__defaults__
    replaced = tuple(prompter if default is getpass.getpass else default for default in defaults or ())
    assert prompter in replaced
    monkeypatch.setattr(AssumeRoleProvider.__init__, "__defaults__", replaced)


def test_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report("/orders")

    assert report.having("ok") == list(report.steps)
    assert (report.exit_code, report.next) == (0, "")
    assert report.steps["DNS"]["observed"] == "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com is 192.0.2.7"
    assert "trusted, by the public authorities in" in report.steps["TLS"]["observed"]
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/company/requests.pem")
    assert Report("/orders").steps["TLS"]["observed"] == "the certificate is trusted, by /company/requests.pem"
    monkeypatch.setenv("AWS_CA_BUNDLE", "/company/ca.pem")
    assert Report("/orders").steps["TLS"]["observed"] == "the certificate is trusted, by /company/ca.pem"


def test_the_path_is_that_of_the_argument_else_of_the_profile_else_the_root(api: GuardedApi, config: Path) -> None:
    Report()
    config.write_text(f"{CONFIG}api_path = /whoami\n")
    Report()
    Report("/orders")

    assert [request.url.removeprefix(API_URL) for request in api.requests] == ["/", "/whoami", "/orders"]


# --- The sentences of AWS ---------------------------------------------------------------------------------------------

EXECUTOR = "arn:aws:sts::111111111111:assumed-role/orders-api-ExecutorRole-1A2B3C4D5E6F/222222222222-my-user"
METHOD = "arn:aws:execute-api:eu-west-1:********1111:a1b2c3d4e5/v1/GET/orders"
INVOKE = f"User: {EXECUTOR} is not authorized to perform: execute-api:Invoke on resource: {METHOD}"
ASSUME = f"User: {USER} is not authorized to perform: sts:AssumeRole on resource: {EXECUTOR_ROLE_ARN}"

API_SENTENCES = [
    ("because no identity-based policy allows", "Account A: the executor role's policy lacks this method and path."),
    ("with an explicit deny in an identity-based policy", "Account A: a policy of the executor role denies"),
    (
        "because no permissions boundary allows",
        "Account A: the permissions boundary of the executor role does not allow",
    ),
    (
        "with an explicit deny in a permissions boundary",
        "Account A: the permissions boundary of the executor role denies",
    ),
    ("because no session policy allows", "Account B: the session policy that the session was created with does not"),
    (
        "with an explicit deny in a sessions policy",
        "Account B: the session policy that the session was created with denies",
    ),
    (
        "with an explicit deny in a session policy",
        "Account B: the session policy that the session was created with denies",
    ),
    (
        "because no service control policy allows",
        "Account A: no service control policy (SCP) of its organization allows",
    ),
    (
        "with an explicit deny in a service control policy: arn:aws:organizations::999999999999:policy/o-1/p-1",
        "Account A: a service control policy (SCP) of its organization denies",
    ),
    ("with an explicit deny in a resource control policy", "Account A: a resource control policy (RCP) of its"),
    ("because no VPC endpoint policy allows", "Account B: the policy of the VPC endpoint"),
    ("with an explicit deny in a VPC endpoint policy", "Account B: the policy of the VPC endpoint"),
    ("because no resource-based policy allows", "Account A: the API's resource policy does not allow"),
    ("with an explicit deny in a resource-based policy", "Account A: the API's resource policy denies"),
    ("with an explicit deny", "Account A: a policy denies it, probably the API's resource policy."),
    ("", "Account A: the executor role's policy lacks this method and path."),
]
STS_SENTENCES = [
    ("because no role trust policy allows", "Account A: the role's trust policy does not allow"),
    ("with an explicit deny in the role trust policy", "Account A: the role's trust policy denies"),
    ("because no resource-based policy allows", "Account A: the role's trust policy does not allow"),
    (
        "because no identity-based policy allows",
        f"Account B: no policy of the caller allows sts:AssumeRole on {EXECUTOR_ROLE_ARN}.",
    ),
    ("with an explicit deny in an identity-based policy", "Account B: a policy of the caller denies"),
    ("because no permissions boundary allows", "Account B: the permissions boundary of the caller"),
    ("with an explicit deny in a permissions boundary", "Account B: the permissions boundary of the caller"),
    ("because no session policy allows", "Account B: the session policy"),
    ("with an explicit deny in a service control policy", "Account B: a service control policy (SCP)"),
    ("because no service control policy allows", "Account B: no service control policy (SCP)"),
    ("with an explicit deny in a resource control policy", "Account A: a resource control policy (RCP)"),
    ("with an explicit deny in a VPC endpoint policy", "Account B: the policy of the VPC endpoint"),
    ("because no VPC endpoint policy allows", "Account B: the policy of the VPC endpoint"),
]


def call(*arguments: str) -> str:
    result = CliRunner(mix_stderr=False).invoke(main, ["--profile", "orders", "--api-url", API_URL, *arguments])
    return result.stderr


@pytest.mark.parametrize(("reason", "remedy"), API_SENTENCES)
def test_a_sentence_of_the_api(api: GuardedApi, monkeypatch: pytest.MonkeyPatch, reason: str, remedy: str) -> None:
    action = " the execute-api:Invoke action" if reason.endswith("allows") else ""
    api.rest = refusal("AccessDeniedException", f"{INVOKE} {reason}{action}")
    monkeypatch.setattr("call_api.__main__.Connections", lambda *_: api)

    report = Report("/orders")

    assert report.having("failed") == ["permission"]
    assert report.next.startswith(remedy)
    assert f"\n{remedy}" in call("/orders")


@pytest.mark.parametrize(("reason", "remedy"), STS_SENTENCES)
def test_a_sentence_of_sts(
    aws: Aws, api: GuardedApi, monkeypatch: pytest.MonkeyPatch, reason: str, remedy: str
) -> None:
    action = " the sts:AssumeRole action" if reason.endswith("allows") else ""
    aws.sts.failure = (403, "AccessDenied", f"{ASSUME} {reason}{action}")
    monkeypatch.setattr("call_api.__main__.Connections", lambda *_: api)

    report = Report("/orders")

    assert report.having("failed") == ["AssumeRole"]
    assert report.steps["AssumeRole"]["causes"] == [], "nothing is left to guess"
    assert report.next.startswith(remedy)
    assert f"\n{remedy}" in call("/orders")


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (
            "sts:TagSession",
            ["Account A: the role's trust policy must allow sts:TagSession.", "role-skip-session-tagging"],
        ),
        (
            "sts:SetSourceIdentity",
            ["Account A: the role's trust policy must allow sts:SetSourceIdentity.", "Account B"],
        ),
    ],
)
def test_what_comes_with_assume_role_is_refused(aws: Aws, action: str, words: list[str]) -> None:
    aws.sts.failure = (403, "AccessDenied", ASSUME.replace("sts:AssumeRole", action))

    report = Report("/orders")

    assert report.steps["AssumeRole"]["causes"] == []
    assert all(word in report.next for word in words)


@pytest.mark.parametrize(
    "reason",
    ["", "because no identity-based policy allows the action", "with an explicit deny in a resource-based policy"],
)
def test_a_principal_of_account_b_has_to_assume_the_role(
    aws: Aws, api: GuardedApi, config: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    aws.arn = f"{SESSION}/ecs-task/task-1"
    export_session(api, monkeypatch)
    api.rest = refusal("AccessDeniedException", f"{INVOKE.replace(EXECUTOR, aws.arn)} {reason}")

    report = Report("/orders", profile=None)

    assert report.having("failed") == ["permission"]
    assert report.next.startswith(f"Account B: {aws.arn} is not the executor role: assume account A's output")
    assert report.steps["session name"]["status"] == "ok"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            f"{INVOKE.replace(EXECUTOR, USER)} with an explicit deny in a service control policy",
            ["Account B: a service control policy (SCP) of its organization denies", "assume account A's output"],
        ),
        (
            f"{INVOKE.replace(EXECUTOR, USER)} with an explicit deny in a resource control policy",
            ["Account A: a resource control policy (RCP) of its organization denies", "assume account A's output"],
        ),
        (
            f"User: {SESSION}/ecs-task/1 is not authorized to perform: execute-api:Invoke because no identity-based "
            "policy allows the execute-api:Invoke action",
            [
                "Account B: unless 222222222222 is the API's account, assume account A's output",
                "Account A: the executor",
            ],
        ),
        (INVOKE.replace(EXECUTOR, "anonymous"), ["Account A: the method does not read signatures"]),
        ("User is not authorized to access this resource", ["Account A: a Lambda authorizer refuses it"]),
        ("no", ["Account A: the executor role's policy lacks"]),
    ],
)
def test_other_sentences_of_the_api(api: GuardedApi, message: str, words: list[str]) -> None:
    api.rest = refusal("AccessDeniedException", message)

    report = Report("/orders")

    assert report.having("failed") == ["permission"]
    assert all(word in report.next for word in words), report.next


def export_session(api: GuardedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a session that the API knows into the environment."""
    session = FakeCredentials(api).session
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", str(session.access_key))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", str(session.secret_key))
    monkeypatch.setenv("AWS_SESSION_TOKEN", str(session.token))


# --- Who calls --------------------------------------------------------------------------------------------------------


def test_an_exported_session_of_the_role_is_judged(aws: Aws, api: GuardedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    aws.arn = EXECUTOR
    export_session(api, monkeypatch)

    assert Report("/orders", profile=None).having("ok") == list(Report("/orders", profile=None).steps)


@pytest.mark.parametrize(
    ("arn", "account", "failed"),
    [(EXECUTOR, "111111111111", []), (f"{SESSION}/ecs-task/task-1", "222222222222", ["role ARN"])],
)
def test_exported_credentials_come_before_the_profile(
    aws: Aws, api: GuardedApi, monkeypatch: pytest.MonkeyPatch, arn: str, account: str, failed: list[str]
) -> None:
    aws.arn = arn
    monkeypatch.setattr(
        Aws,
        "_xml",
        staticmethod(
            lambda request, text, xml=Aws._xml: xml(request, text.replace("222222222222</Acc", f"{account}</Acc"))
        ),
    )
    monkeypatch.setenv("AWS_PROFILE", "orders")
    export_session(api, monkeypatch)

    report = Report("/orders", profile=None)

    assert report.having("failed") == failed
    assert ("unset AWS_ACCESS_KEY_ID" in report.next) is bool(failed)


def test_without_a_role_the_caller_signs_as_itself(aws: Aws, api: GuardedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    export_session(api, monkeypatch)

    report = Report("/orders", profile=None)

    assert report.having("ok") == list(report.steps)
    assert report.steps["role ARN"]["observed"] == f"none: requests are signed as {USER} itself"


@pytest.mark.parametrize(
    ("arn", "role_arn", "status"),
    [
        (USER, EXECUTOR_ROLE_ARN.replace("111111111111", "222222222222"), "failed"),
        (USER, "arn:aws:iam::222222222222:role/partner", "warning"),
        ("arn:aws:iam::222222222222:root", EXECUTOR_ROLE_ARN, "failed"),
    ],
)
def test_a_caller_that_can_hardly_be_meant(aws: Aws, config: Path, arn: str, role_arn: str, status: str) -> None:
    aws.arn = arn
    config.write_text(CONFIG.replace(EXECUTOR_ROLE_ARN, role_arn))

    assert Report("/orders").steps["account"]["status"] == status


@pytest.mark.parametrize("role_arn", ["orders", "arn:aws:sts::111111111111:assumed-role/a/b"])
def test_an_arn_that_is_not_a_roles(config: Path, role_arn: str) -> None:
    config.write_text(CONFIG.replace(EXECUTOR_ROLE_ARN, role_arn))

    assert Report("/orders").steps["role ARN"]["remedy"] == (
        "Account B: set role_arn to account A's output ExecutorRoleArn."
    )


@pytest.mark.parametrize("name", ["my-user", ""])
def test_the_session_name_of_our_role_is_bound(config: Path, name: str) -> None:
    line = f"role_session_name = {name}\n" if name else ""
    config.write_text(CONFIG.replace("role_session_name = 222222222222-my-user\n", line))

    report = Report("/orders")

    assert report.having("failed") == ["session name"]
    assert report.steps["session name"]["expected"].startswith("222222222222-<name>")


def test_a_web_identity_is_known_once_it_is_used(config: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token")
    config.write_text(CONFIG.replace("source_profile = me", f"web_identity_token_file = {tmp_path}/token"))

    report = Report("/orders")

    assert report.having("failed") == []
    assert report.steps["credentials"]["status"] == "not tried"
    assert report.steps["AssumeRole"]["status"] == "ok"


def test_the_role_of_an_option_is_assumed(aws: Aws, config: Path) -> None:
    config.write_text(CONFIG.partition("[profile orders]")[0])

    report = Report("/orders", "--role-arn", EXECUTOR_ROLE_ARN, "--external-id", "orders-7f3c9a51", profile="me")

    assert report.having("ok") == list(report.steps)
    assert report.steps["session name"]["observed"] == "222222222222-my-user"
    assert "AssumeRole" in [form["Action"] for form in aws.asked]


def test_a_role_of_others_may_have_any_session_name(config: Path) -> None:
    config.write_text(
        CONFIG.replace(EXECUTOR_ROLE_ARN, "arn:aws:iam::333333333333:role/partner").replace(
            "222222222222-my-user", "jane"
        )
    )

    report = Report("/orders")

    assert (report.exit_code, report.having("warning")) == (0, ["session name"])


def test_the_code_of_the_mfa_device_is_asked_for_and_given(
    aws: Aws, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(f"{CONFIG}mfa_serial = {MFA_SERIAL}\n")
    aws.mfa_code = "123456"
    answer_prompt(monkeypatch, lambda _: "123456")

    assert Report("/orders").having("failed") == []
    assert [form["SerialNumber"] for form in aws.asked if form["Action"] == "AssumeRole"] == [MFA_SERIAL]


def test_a_wrong_mfa_code_needs_no_guessing(aws: Aws) -> None:
    aws.mfa_code = "123456"

    report = Report("/orders")

    assert report.having("failed") == ["AssumeRole"]
    assert report.steps["AssumeRole"]["causes"] == []
    assert report.next.startswith("Account B: the MFA code is wrong or was used before")


@pytest.mark.parametrize(
    ("simulation", "likelihood", "words"),
    [
        (("allowed", []), "ruled out", "allow it"),
        (("explicitDeny", []), "found", "explicitDeny"),
        (("implicitDeny", ["aws:SourceIp"]), "possible", "it depends on aws:SourceIp"),
        (None, "possible", "iam:SimulatePrincipalPolicy: ConnectTimeoutError"),
    ],
)
def test_the_own_policies_are_simulated(
    aws: Aws, simulation: tuple[str, list[str]] | None, likelihood: str, words: str
) -> None:
    aws.sts.failure = (403, "AccessDenied", ASSUME)
    aws.simulation = simulation

    report = Report("/orders")

    assert report.causes("likelihood")["identity policy"] == likelihood
    assert words in report.causes("observed")["identity policy"]
    remedy = report.causes("remedy")["identity policy"]
    assert remedy == "" if likelihood == "ruled out" else remedy.startswith("Account B: the caller's policy must allow")


ROLE = "arn:aws:iam::222222222222:role"
SSO_ROLE = "AWSReservedSSO_Dev_0123456789abcdef"


@pytest.mark.parametrize(
    ("session", "principal", "shows_roles", "named", "likelihood"),
    [
        ("dev/run-1", f"{ROLE}/team/dev", True, f"{ROLE}/team/dev", "ruled out"),
        ("dev/run-1", f"{ROLE}/team/dev", False, f"{ROLE}/*/dev", "possible"),
        ("dev/run-1", f"{ROLE}/dev", False, f"{ROLE}/*/dev", "ruled out"),
        (
            f"{SSO_ROLE}/jane@example.org",
            f"{ROLE}/aws-reserved/sso.amazonaws.com/eu-west-1/{SSO_ROLE}",
            False,
            f"{ROLE}/aws-reserved/sso.amazonaws.com/*/{SSO_ROLE}",
            "possible",
        ),
    ],
)
def test_a_role_is_named_with_its_path(
    aws: Aws, session: str, principal: str, shows_roles: bool, named: str, likelihood: str
) -> None:
    aws.arn, aws.principal, aws.shows_roles = f"{SESSION}/{session}", principal, shows_roles
    aws.simulation = ("allowed", [])
    aws.sts.failure = (403, "AccessDenied", ASSUME)

    report = Report("/orders")

    assert named in report.causes("remedy")["principal pattern"]
    assert report.causes("likelihood")["identity policy"] == likelihood
    assert report.causes("likelihood")["MFA"] == "ruled out"


@pytest.mark.parametrize(
    ("arn", "words"),
    [
        (USER, "ApiUserNames"),
        (f"{SESSION}/ecs-task/1", "ApiRoleNames"),
        (f"{SESSION}/AWSReservedSSO_Dev_0/jane", "permission set"),
    ],
)
def test_the_policy_is_attached_where_it_can_be(aws: Aws, arn: str, words: str) -> None:
    aws.arn = arn
    aws.sts.failure = (403, "AccessDenied", ASSUME)

    assert words in Report("/orders").causes("remedy")["identity policy"]


def test_with_an_mfa_device_mfa_is_ruled_out(aws: Aws, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(f"{CONFIG}mfa_serial = {MFA_SERIAL}\n")
    aws.mfa_code = "123456"
    aws.sts.failure = (403, "AccessDenied", ASSUME)
    answer_prompt(monkeypatch, lambda _: "123456")

    likelihoods = Report("/orders").causes("likelihood")

    assert (likelihoods["MFA"], likelihoods["ExternalId"]) == ("ruled out", "possible")


def test_without_a_terminal_there_is_no_mfa_code(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def end_of_file(_: str) -> str:
        raise EOFError

    config.write_text(f"{CONFIG}mfa_serial = {MFA_SERIAL}\n")
    answer_prompt(monkeypatch, end_of_file)

    report = Report("/orders")

    assert report.having("failed") == ["AssumeRole"]
    assert report.next.startswith("Account B: nobody could be asked for the MFA code; run it in a terminal.")


def test_sts_goes_away(aws: Aws) -> None:
    aws.sts.down()

    report = Report("/orders")

    assert report.having("failed") == ["AssumeRole"]
    assert report.next.startswith("Account B: STS must be reachable from here")


def connection_errors() -> dict[str, Exception]:
    """Return one of each of botocore's exceptions for a connection that failed."""
    found: dict[str, Exception] = {}
    left: list[type[BotoCoreError]] = [HTTPClientError, botocore.exceptions.ConnectionError]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        found[kind.__name__] = kind(endpoint_url="https://sts", proxy_url="http://proxy", error="no", request=None)
    return found


@pytest.mark.parametrize("name", connection_errors())
def test_sts_does_not_respond(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fail(_: object, request: Any) -> AWSResponse:
        raise connection_errors()[name]

    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", fail)

    report = Report("/orders")

    assert report.having("failed") == ["credentials"]
    assert report.steps["clock"]["observed"] == "STS did not respond"
    assert report.steps["AssumeRole"]["status"] == "not tried"
    other = {"SSLError": "must contain the CA of STS", "ProxyConnectionError": "check HTTPS_PROXY"}
    assert other.get(name, "STS must be reachable") in report.next


def test_sts_takes_no_session_that_long(aws: Aws) -> None:
    message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
    aws.sts.failure = (400, "ValidationError", message)

    assert Report("/orders").next.startswith("Account B: duration_seconds of the profile is at most 3600")


def test_the_credentials_of_a_machine_are_identified(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(CONFIG.replace("source_profile = me", "credential_source = Environment"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    report = Report("/orders")

    assert report.having("ok") == list(report.steps)
    assert report.steps["credentials"]["observed"] == USER


# --- The cached session -----------------------------------------------------------------------------------------------


def test_the_session_in_the_cache_is_judged_first(api: GuardedApi, aws: Aws, tmp_path: Path) -> None:
    Report("/orders")
    assert Report("/orders").steps["AssumeRole"]["observed"] == "a session from ~/.aws/cli/cache"
    [file] = (tmp_path / ".aws/cli/cache").iterdir()
    cached = file.read_text()
    token = json.loads(cached)["Credentials"]["SessionToken"]
    revoked = f"{INVOKE} with an explicit deny in an identity-based policy"

    def answer(request: Request) -> Reply:
        if request.headers["x-amz-security-token"] == token:
            return refusal("AccessDeniedException", revoked)
        return json_reply(200, {})

    api.answer = answer
    report = Report("/orders")

    assert (report.exit_code, report.having("warning"), report.having("failed")) == (0, ["AssumeRole"], [])
    assert "the cached session is refused, a new one is accepted" in report.steps["AssumeRole"]["observed"]
    assert file.read_text() == cached, "doctor changes nothing"

    aws.sts.failure = (403, "AccessDenied", f"{ASSUME} because no role trust policy allows the sts:AssumeRole action")
    report = Report("/orders")

    assert report.having("failed") == ["AssumeRole", "permission"]
    assert report.next.startswith("Account A: the role's trust policy does not allow")

    aws.sts.failure = None
    api.answer = lambda _: refusal("AccessDeniedException", revoked)

    assert Report("/orders").having("failed") == ["permission"]


# --- The API ----------------------------------------------------------------------------------------------------------


def test_a_proxy_resolves_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")

    assert Report("/orders").steps["DNS"]["observed"] == "left to the proxy proxy.example"


@pytest.mark.parametrize("stranger", [Reply(503, b"no"), json_reply(429, {})])
def test_an_api_in_trouble_exists(api: GuardedApi, stranger: Reply) -> None:
    api.stranger = stranger

    assert Report("/orders").steps["stage"]["status"] == "ok"


@pytest.mark.parametrize(
    ("stranger", "words"),
    [
        (Reply(200, b"{", {"Content-Type": "application/json"}), "Account B: the API's URL must be account A's output"),
        (json_reply(401, {"message": "Unauthorized"}), "Account A: the method has another authorizer"),
        (Reply(302), "redirects are never followed"),
        (json_reply(200, {}), "Account A: the API is open to everybody"),
    ],
)
def test_there_is_no_closed_api(api: GuardedApi, stranger: Reply, words: str) -> None:
    api.stranger = stranger

    report = Report("/orders")

    assert report.having("failed")[0] == "stage"
    assert words in report.next


@pytest.mark.parametrize(
    "blocked",
    [
        Reply(202, b"", {"x-amzn-waf-action": "challenge"}),
        Reply(405, b"<html>", {"x-amzn-waf-action": "captcha"}),
        refusal("ForbiddenException", "Forbidden"),
    ],
    ids=["Challenge", "CAPTCHA", "Block"],
)
def test_aws_waf_stops_a_request_before_the_api(api: GuardedApi, blocked: Reply) -> None:
    api.stranger = blocked

    report = Report("/orders")

    assert report.having("failed") == ["stage"]
    assert re.search("Account A: .*AWS WAF", report.next)

    api.stranger, api.rest = refusal("MissingAuthenticationTokenException"), blocked
    for path in (["/orders"], []):
        report = Report(*path)
        assert report.having("failed") == ["path"]
        assert "AWS WAF" in report.next


def test_an_http_api_needs_no_stage(api: GuardedApi) -> None:
    api.become_http_api(json_reply(200, {}))

    report = Report("/orders", url=API_URL.removesuffix("/v1"))

    assert report.having("ok") == list(report.steps)
    assert "no stage: right for an HTTP API's $default" in report.steps["URL"]["observed"]
    assert report.steps["stage"]["observed"] == "an unsigned request is refused by an HTTP API with 403"


def test_an_http_api_gives_no_reason(api: GuardedApi) -> None:
    api.become_http_api(json_reply(403, {"message": "Forbidden"}, apigw_requestid="B2="))

    report = Report("/orders")

    assert report.having("failed") == ["permission"]
    assert report.steps["signature"]["status"] == "not tried"
    assert report.next.startswith("An HTTP API gives no reason. Account A: the role's policy must allow this route.")


def test_an_http_api_lacks_the_route(api: GuardedApi) -> None:
    api.become_http_api(json_reply(404, {"message": "Not Found"}, apigw_requestid="B2="))
    api.stranger = json_reply(404, {"message": "Not Found"}, apigw_requestid="B1=")

    assert Report("/orders").having("failed") == ["path"]


@pytest.mark.parametrize(
    ("reply", "chosen", "by_default"),
    [
        (json_reply(404, {"error": {"code": "no_route"}}), ["backend"], {}),
        (json_reply(400, {}), ["backend"], {}),
        (json_reply(403, {"error": {"code": "forbidden"}}), ["backend"], {"backend": "failed"}),
        (json_reply(500, {}), ["backend"], {"backend": "failed"}),
        (refusal("AccessDeniedException", INVOKE), ["permission"], {"permission": "warning"}),
        (
            refusal("AccessDeniedException", f"{INVOKE} with an explicit deny in a service control policy"),
            ["permission"],
            {"permission": "failed"},
        ),
        (refusal("MissingAuthenticationTokenException"), ["path"], {"path": "warning"}),
        (refusal("InvalidSignatureException"), ["signature"], {"signature": "failed"}),
    ],
)
def test_a_path_that_nobody_chose_proves_less(
    api: GuardedApi, reply: Reply, chosen: list[str], by_default: dict[str, str]
) -> None:
    api.rest = reply

    assert Report("/orders").having("failed") == chosen
    report = Report()

    assert {name: report.steps[name]["status"] for name in by_default} == by_default
    assert report.exit_code == int("failed" in by_default.values())
    assert ("Give a path that the role may GET" in report.next) is ("warning" in by_default.values())


def test_a_backend_that_fails_is_tried_again_and_named(api: GuardedApi) -> None:
    api.rest = json_reply(502, {"message": "Internal server error"})

    report = Report("/orders")

    assert report.having("failed") == ["backend"]
    assert report.steps["backend"]["observed"].startswith("The API answered 502 Internal server error")
    assert report.next.startswith("Account A: find the request id")
    assert len(api.requests) > 1


def test_what_follows_from_a_failure_is_not_tried(
    api: GuardedApi, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    config.write_text(CONFIG.replace("source_profile = me", f"source_profile = nope\napi_url = {API_URL}"))
    report = Report("/orders", url="")
    assert report.having("failed") == ["profile"]
    assert report.steps["role ARN"]["observed"] == EXECUTOR_ROLE_ARN, "what the profile says is shown all the same"

    config.write_text(CONFIG)
    assert Report("/orders", profile="nope", url="").having("failed") == ["profile"]
    api.stranger = unreachable()
    assert Report("/orders").having("failed") == ["TLS"]
    monkeypatch.setattr("socket.getaddrinfo", fail)
    assert Report("/orders").having("failed") == ["DNS"]
    assert Report("/orders", url="").having("failed") == ["URL"]


def test_an_invalid_ca_bundle(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("call_api.diagnosis.Connections", Connections)
    config.write_text(f"{CONFIG}ca_bundle = {config}\n")

    report = Report("/orders")

    assert report.having("failed")[-1] == "TLS"
    assert report.steps["TLS"]["observed"].startswith("AWS_CA_BUNDLE is ")
    assert report.steps["TLS"]["remedy"] == "Correct $AWS_CA_BUNDLE, or ca_bundle in the profile."


@pytest.mark.parametrize(
    ("url", "region", "step", "words"),
    [
        ("https://api.example/v1", "", "region", "Set --region or $API_REGION"),
        (API_URL, "eu-north-1", "region", "must be the API's region"),
        ("http://example.com/v1", "", "URL", "Set --api-url or $API_URL"),
    ],
)
def test_url_and_region(
    config: Path, monkeypatch: pytest.MonkeyPatch, url: str, region: str, step: str, words: str
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    config.write_text(CONFIG.replace("region = eu-west-1\n", "sts_regional_endpoints = legacy\n"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "https://sts.eu-west-1.amazonaws.com/")

    report = Report("/orders", *(["--region", region] if region else []), url=url)

    assert step in report.having("failed")
    assert words in report.steps[step]["remedy"]


def test_a_clock_that_is_wrong(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(minutes=20)

    monkeypatch.setattr("call_api.diagnosis.datetime", Later)

    report = Report("/orders")

    assert report.having("failed") == ["clock"]
    assert report.next == "Account B: set the clock."


# --- How it is shown --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("charset", "signs"), [("utf-8", "✓!✗·"), ("cp1252", None)])
def test_a_person_sees_a_table_with_one_next_step(aws: Aws, charset: str, signs: str | None) -> None:
    runner = CliRunner(mix_stderr=False, charset=charset)
    command = ["doctor", "/orders", "--api-url", API_URL, "--profile"]
    healthy = runner.invoke(main, [*command, "orders"])
    aws.sts.failure = (403, "AccessDenied", ASSUME)
    sick = runner.invoke(main, [*command, "me", "--role-arn", "arn:aws:iam::333333333333:role/partner"])

    assert (healthy.exit_code, healthy.stdout.rstrip().rpartition("\n")[2]) == (0, "All is well.")
    assert sick.exit_code == 1
    assert re.search("  identity policy +possible:", sick.stdout)
    assert "\nNext: STS does not say which of these it is. The likeliest: Account B: unless account A's" in sick.stdout
    assert sick.stdout.rstrip().count("\n") == sick.stdout.partition("\nNext")[0].count("\n") + 1, "one line to copy"
    assert ("✓ profile" in healthy.stdout) is bool(signs)
    assert ("ok profile" in healthy.stdout) is not bool(signs)


# --- The provider's perimeter -----------------------------------------------------------------------------------------


def test_a_domain_name_does_not_tell_the_region() -> None:
    guessed = Report("/orders", url="https://orders.example.org/shop").steps["region"]
    assert guessed["observed"].startswith("eu-west-1, your own: the URL names none; account A's output ApiRegion")
    given = Report("/orders", "--region", "eu-north-1", url="https://orders.example.org/shop").steps["region"]
    assert (given["status"], given["observed"]) == ("ok", "eu-north-1")


@pytest.mark.parametrize(("address", "is_private"), [("10.0.3.7", True), ("fd00::7", True), ("192.0.2.7", False)])
def test_an_endpoint_that_is_not_reached_from_here(
    api: GuardedApi, monkeypatch: pytest.MonkeyPatch, address: str, is_private: bool
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    assert Report("/orders").steps["DNS"]["observed"].endswith(", in a private network") is is_private
    api.stranger = unreachable()

    report = Report("/orders", url="https://a1b2c3d4e5-vpce-0a1b2c3d.execute-api.eu-west-1.amazonaws.com/v1")

    assert report.having("failed") == ["TLS"]
    assert ("this is the address of a VPC endpoint" in report.next) is is_private


def test_a_private_apis_name_may_have_no_address_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_address(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", no_address)
    report = Report("/orders")

    assert report.having("failed") == ["DNS"]
    assert "A private API's name has an address only in a VPC with an endpoint for execute-api" in report.next


def test_doctor_sends_the_api_key_with_the_signature_only(api: GuardedApi, config: Path) -> None:
    config.write_text(f"{CONFIG}api_key = a1b2c3d4e5f6g7h8i9j0\n")
    assert Report("/orders").exit_code == 0
    assert [request.headers["X-Api-Key"] for request in api.requests] == ["a1b2c3d4e5f6g7h8i9j0"]


# --- What helps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        (
            "InvalidSignatureException",
            "Credential should be scoped to a valid region, not 'eu-west-1'.",
            "Account B: sign for the API's region.",
        ),
        (
            "InvalidSignatureException",
            "Signature expired: 20261123T120000Z is now earlier than 20261123T121000Z",
            "Account B: set the clock.",
        ),
        (
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided.",
            "Account B: check the API's region, the secret access key, and whether something in between",
        ),
        ("ExpiredTokenException", "expired", "Account B: the session has expired or is not valid: get a new one."),
        ("UnrecognizedClientException", "invalid", ExpiredSessionError(403, code="UnrecognizedClientException").remedy),
        ("IncompleteSignatureException", "no", "Account B: something in between changes the Authorization header."),
    ],
)
def test_a_signature_that_the_api_refuses(api: GuardedApi, code: str, message: str, remedy: str) -> None:
    api.rest = refusal(code, message)

    report = Report("/orders")

    assert report.having("failed") == ["signature"]
    assert message in report.steps["signature"]["observed"]
    assert report.next.startswith(remedy)


@pytest.mark.parametrize(
    ("stranger", "remedy"),
    [
        (unreachable(), "Account B: check the API's URL, and whether this network lets it out."),
        (
            CertificateError("no"),
            "Account B: if something on the network intercepts TLS, AWS_CA_BUNDLE or the profile's",
        ),
    ],
)
def test_an_api_that_is_not_reached(
    api: GuardedApi, monkeypatch: pytest.MonkeyPatch, stranger: ConnectionFailedError, remedy: str
) -> None:
    def no_address(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    api.stranger = stranger
    report = Report("/orders")
    assert report.having("failed") == ["TLS"]
    assert report.next.startswith(remedy)
    assert report.steps["backend"]["status"] == "not tried"

    monkeypatch.setattr("socket.getaddrinfo", no_address)
    assert Report("/orders").next.startswith("Account B: check the host in the API's URL, and DNS.")


def test_a_profile_without_credentials(config: Path) -> None:
    config.write_text("[profile orders]\nregion = eu-west-1\n")

    report = Report("/orders")

    assert report.having("failed") == ["credentials"]
    assert report.next.startswith("Account B: set AWS_PROFILE, or give credentials in another way")
