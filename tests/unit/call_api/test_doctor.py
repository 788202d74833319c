"""`call-api doctor` where no lab breaks: MFA, other sources of credentials, proxies, STS and IAM in trouble."""

from __future__ import annotations

import getpass
import io
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import urllib3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.credentials import AssumeRoleProvider
from botocore.exceptions import ConnectTimeoutError

from call_api.causes import Judgement
from call_api.diagnosis import Diagnosis, Finding, Verdict
from cross_account_api.transport import Connections, Request
from tests.support.fakes import API_URL, EXECUTOR_ROLE_ARN, FakeApi, FakeSts, FakeTime, Reply, json_reply, refusal

MFA_SERIAL = "arn:aws:iam::222222222222:mfa/my-user"
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
    arn: str = "arn:aws:iam::222222222222:user/my-user"
    simulation: tuple[str, list[str]] | None = None
    mfa_code: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)

    def send(self, request: Any) -> AWSResponse:
        form = {name: values[0] for name, values in parse_qs(request.body).items()}
        self.asked.append(form)
        if form["Action"] == "AssumeRole":
            if form.get("TokenCode", "") != self.mfa_code:
                self.sts.failure = (
                    403,
                    "AccessDenied",
                    "MultiFactorAuthentication failed with invalid MFA one time pass code.",
                )
            return self.sts.send(request)
        if form["Action"] == "GetCallerIdentity":
            return self._xml(request, f"<Arn>{self.arn}</Arn><Account>222222222222</Account>")
        if not self.simulation:
            raise ConnectTimeoutError(endpoint_url=request.url)
        decision, missing = self.simulation
        names = "".join(f"<member>{name}</member>" for name in missing)
        return self._xml(
            request,
            f"<EvaluationResults><member><EvalActionName>sts:AssumeRole</EvalActionName><EvalDecision>{decision}"
            f"</EvalDecision><MissingContextValues>{names}</MissingContextValues></member></EvaluationResults>",
        )

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
        self.stranger: Reply = refusal("MissingAuthenticationTokenException", "Missing Authentication Token")

    def send(self, request: Request, timeout: urllib3.Timeout) -> urllib3.BaseHTTPResponse:
        if "Authorization" in request.headers:
            return super().send(request, timeout)
        return urllib3.HTTPResponse(
            io.BytesIO(self.stranger.body), self.stranger.headers, self.stranger.status, preload_content=False
        )


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
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    monkeypatch.setattr("call_api.diagnosis.Connections", lambda *_: api)
    monkeypatch.setattr(
        "socket.getaddrinfo", lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 443))]
    )
    return path


def answer_prompt(monkeypatch: pytest.MonkeyPatch, prompter: Callable[[str], str]) -> None:
    """Type in the place of a person; botocore has its prompter as the default of an argument."""
    defaults = AssumeRoleProvider.__init__.__defaults__
    replaced = tuple(prompter if default is getpass.getpass else default for default in defaults or ())
    assert prompter in replaced
    monkeypatch.setattr(AssumeRoleProvider.__init__, "__defaults__", replaced)


def walk(profile: str | None = "orders") -> dict[str, Finding]:
    return {finding.step: finding for finding in Diagnosis(profile, API_URL).walk()}


def failed(findings: dict[str, Finding]) -> list[str]:
    return [name for name, finding in findings.items() if finding.verdict is Verdict.FAILED]


def test_all_is_well() -> None:
    findings = walk()

    assert {finding.verdict for finding in findings.values()} == {Verdict.OK}
    assert findings["DNS"].saw == "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com is 192.0.2.7"
    assert findings["TLS"].saw == "the certificate is trusted, by the public certificate authorities"


# --- AssumeRole -------------------------------------------------------------------------------------------------------


def test_the_code_of_the_mfa_device_is_asked_for_and_given(
    aws: Aws, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(f"{CONFIG}mfa_serial = {MFA_SERIAL}\n")
    aws.mfa_code = "123456"
    answer_prompt(monkeypatch, lambda _: "123456")

    assert failed(walk()) == []
    assert [form["SerialNumber"] for form in aws.asked if form["Action"] == "AssumeRole"] == [MFA_SERIAL]


def test_a_wrong_mfa_code_needs_no_guessing(aws: Aws) -> None:
    aws.mfa_code = "123456"

    findings = walk()

    assert failed(findings) == ["AssumeRole"]
    assert findings["AssumeRole"].causes == ()
    assert findings["AssumeRole"].mend.startswith("Account B: the MFA code is wrong or was used before")


@pytest.mark.parametrize(
    ("simulation", "judgement", "words"),
    [
        (("allowed", []), Judgement.RULED_OUT, "allow it"),
        (("explicitDeny", []), Judgement.FOUND, "explicitDeny"),
        (("implicitDeny", ["aws:SourceIp"]), Judgement.POSSIBLE, "it depends on aws:SourceIp"),
        (None, Judgement.POSSIBLE, "iam:SimulatePrincipalPolicy: ConnectTimeoutError"),
    ],
)
def test_what_the_own_policies_say(
    aws: Aws, simulation: tuple[str, list[str]] | None, judgement: Judgement, words: str
) -> None:
    aws.sts.failure = (403, "AccessDenied", "not authorized to perform: sts:AssumeRole on resource: x")
    aws.simulation = simulation

    [cause] = [cause for cause in walk()["AssumeRole"].causes if cause.name == "identity policy"]

    assert cause.judgement is judgement
    assert words in cause.saw
    assert cause.mend.startswith("" if judgement is Judgement.RULED_OUT else "Account B: the caller's policy must")


def test_with_an_mfa_device_mfa_is_ruled_out(aws: Aws, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(f"{CONFIG}mfa_serial = {MFA_SERIAL}\n")
    aws.mfa_code = "123456"
    aws.sts.failure = (403, "AccessDenied", "not authorized")
    answer_prompt(monkeypatch, lambda _: "123456")

    judgements = {cause.name: cause.judgement for cause in walk()["AssumeRole"].causes}

    assert judgements["MFA"] is Judgement.RULED_OUT
    assert judgements["ExternalId"] is Judgement.POSSIBLE


def test_without_a_terminal_there_is_no_mfa_code(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def end_of_file(_: str) -> str:
        raise EOFError

    config.write_text(f"{CONFIG}mfa_serial = {MFA_SERIAL}\n")
    answer_prompt(monkeypatch, end_of_file)

    findings = walk()

    assert failed(findings) == ["AssumeRole"]
    assert findings["AssumeRole"].mend.startswith("Account B: run it in a terminal")


def test_sts_goes_away(aws: Aws) -> None:
    aws.sts.down()

    findings = walk()

    assert failed(findings) == ["AssumeRole"]
    assert findings["AssumeRole"].mend.startswith("Account B: STS must be reachable from here")


def test_sts_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object, request: Any) -> AWSResponse:
        raise ConnectTimeoutError(endpoint_url=request.url)

    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", fail)

    findings = walk()

    assert failed(findings) == ["credentials"]
    assert findings["clock"].saw == "STS did not answer"
    assert findings["AssumeRole"].verdict is Verdict.NOT_TRIED


def test_the_credentials_of_a_role_on_a_machine_cannot_be_asked_before(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(CONFIG.replace("source_profile = me", "credential_source = Environment"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    findings = walk()

    assert failed(findings) == []
    assert findings["credentials"].verdict is Verdict.NOT_TRIED
    assert findings["AssumeRole"].verdict is Verdict.OK
    assert findings["backend"].verdict is Verdict.OK


# --- The API ----------------------------------------------------------------------------------------------------------


def test_a_proxy_resolves_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")

    assert walk()["DNS"].saw == "left to the proxy proxy.example"


@pytest.mark.parametrize("stranger", [Reply(503, b"no"), json_reply(429, {})])
def test_an_api_in_trouble_is_there(api: GuardedApi, stranger: Reply) -> None:
    api.stranger = stranger

    assert walk()["stage"].verdict is Verdict.OK


def test_an_answer_that_is_none(api: GuardedApi) -> None:
    api.stranger = Reply(200, b"{", {"Content-Type": "application/json"})

    findings = walk()

    assert failed(findings) == ["stage"]
    assert findings["stage"].mend == "Account B: API_URL must be account A's output ApiUrl."


def test_a_backend_that_fails_is_tried_again_and_named(api: GuardedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeTime()
    monkeypatch.setattr("cross_account_api.client.monotonic", clock.monotonic)
    monkeypatch.setattr("cross_account_api.client.RETRYING.sleep", clock.sleep)
    monkeypatch.setattr("call_api.diagnosis.monotonic", clock.monotonic)
    api.rest = json_reply(502, {"message": "Internal server error"})

    findings = walk()

    assert failed(findings) == ["backend"]
    assert findings["backend"].saw.startswith("The API answered 502 Internal server error")
    assert findings["backend"].mend.startswith("Account A: find the request id")
    assert len(api.requests) > 1


def test_ca_certificates_that_are_none(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("call_api.diagnosis.Connections", Connections)
    config.write_text(f"{CONFIG}ca_bundle = {config}\n")

    finding = walk()["TLS"]

    assert finding.verdict is Verdict.FAILED
    assert finding.saw.startswith("AWS_CA_BUNDLE is ")


def test_a_region_is_missing(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    config.write_text(CONFIG.replace("region = eu-west-1\n", ""))

    findings = {finding.step: finding for finding in Diagnosis("me", "https://api.example/v1").walk()}

    assert failed(findings) == ["role ARN", "region"]
    assert findings["region"].saw.startswith("API_REGION is empty")
