"""`call-api doctor` in labs with every fault that a caller meets."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import time_machine
import trustme
from botocore.credentials import Credentials
from click.testing import CliRunner

from call_api.__main__ import main
from cross_account_api.errors import ExpiredSessionError
from cross_account_api.transport import Connections, HttpResponse, Request, Timeout
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, REGION, write_profile
from cross_account_lab.lab import USER, USER_PROFILE, Lab

STEPS = [
    "profile",
    "clock",
    "credentials",
    "account",
    "role ARN",
    "session name",
    "AssumeRole",
    "URL",
    "region",
    "DNS",
    "TLS",
    "stage",
    "path",
    "signature",
    "permission",
    "backend",
]

SIMULATE = {"Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*"}


class Report:
    """What doctor found."""

    def __init__(self, exit_code: int, text: str) -> None:
        found = json.loads(text)
        self.exit_code = exit_code
        self.healthy: bool = found["healthy"]
        self.next: str = found["next"]
        self.steps: dict[str, dict[str, Any]] = {step["step"]: step for step in found["steps"]}

    def failed(self) -> list[str]:
        return [name for name, step in self.steps.items() if step["status"] == "failed"]

    def causes(self, part: str = "likelihood") -> dict[str, str]:
        return {cause["name"]: cause[part] for cause in self.steps["AssumeRole"]["causes"]}


type Doctor = Callable[..., Report]


@pytest.fixture(scope="session")
def lab(own_lab: Lab) -> Lab:
    """What is tested here is the same with any API."""
    return own_lab


@pytest.fixture
def me(lab: Lab) -> Credentials:
    """my-user, in the executor role."""
    return lab.assume_executor(lab.user_key, f"222222222222-{USER}")


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "aws-config"


@pytest.fixture
def examine(config_file: Path) -> Doctor:
    """Run doctor in a lab, with a profile whose settings are changed; a None takes one away."""

    def run(
        lab: Lab,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        profiles: Mapping[str, dict[str, str]] | None = None,
        **changes: str | None,
    ) -> Report:
        config_file.write_text(lab.config_file.read_text())
        for name, profile in (profiles or {}).items():
            write_profile(config_file, name, **profile)
        settings = {**user_profile(lab), **changes}
        write_profile(config_file, USER_PROFILE, **{name: value for name, value in settings.items() if value})
        env = {
            **lab.environment,
            "AWS_CONFIG_FILE": str(config_file),
            "API_URL": lab.api_url,
            "HOME": str(config_file.parent),
        }
        env |= environment or {}
        result = CliRunner(mix_stderr=False, env=env).invoke(
            main, ["doctor", "--json", "--profile", USER_PROFILE, *arguments]
        )
        assert result.stderr == ""
        return Report(result.exit_code, result.stdout)

    return run


def user_profile(lab: Lab) -> dict[str, str]:
    profile: dict[str, str] = lab.session(USER_PROFILE)._session.get_scoped_config()
    return profile


def keys(user: Credentials) -> dict[str, str | None]:
    """Return a profile that has credentials and no role."""
    return {
        "aws_access_key_id": user.access_key,
        "aws_secret_access_key": user.secret_key,
        "aws_session_token": user.token,
        "source_profile": None,
        "role_arn": None,
        "external_id": None,
        "role_session_name": None,
    }


@pytest.fixture
def source(config_file: Path, examine: Doctor) -> Doctor:
    """Run doctor with another user in the place of my-user."""

    def run(lab: Lab, user: Credentials, **changes: str | None) -> Report:
        settings = {"region": REGION, "endpoint_url": lab.endpoint, "ca_bundle": str(lab.ca_file), **keys(user)}
        given = {name: value for name, value in settings.items() if value}
        return examine(lab, profiles={"other": given}, source_profile="other", **changes)

    return run


# --- A healthy lab ----------------------------------------------------------------------------------------------------


def test_a_healthy_lab_has_nothing_but_ticks(lab: Lab, examine: Doctor) -> None:
    report = examine(lab)

    assert {name: step["status"] for name, step in report.steps.items()} == dict.fromkeys(STEPS, "ok")
    assert (report.exit_code, report.healthy, report.next) == (0, True, "")
    assert report.steps["credentials"]["observed"] == f"arn:aws:iam::222222222222:user/{USER}"
    assert report.steps["session name"]["observed"] == f"222222222222-{USER}"
    assert report.steps["region"]["observed"].startswith(f"{REGION}, your own: the URL names none")


def test_a_person_sees_a_table_with_one_next_step(lab: Lab, tmp_path: Path) -> None:
    env = {**lab.environment, "API_URL": lab.api_url, "HOME": str(tmp_path)}
    run = partial(CliRunner(mix_stderr=False, env=env).invoke, main)

    healthy = run(["doctor", "--profile", USER_PROFILE])
    sick = run(["doctor", "/echo", "--profile", USER])

    assert healthy.exit_code == 0
    assert [line.strip() for line in healthy.stdout.splitlines() if line.startswith("✓")][3] == (
        "✓ account      222222222222"
    )
    assert healthy.stdout.splitlines()[-1].strip() == "All is well."
    assert sick.exit_code == 1
    assert "✗ permission" in sick.stdout
    assert "· backend" in sick.stdout
    assert f"\nNext: Account B: arn:aws:iam::222222222222:user/{USER} is not the executor role" in sick.stdout


def test_it_sends_nothing_but_get_to_the_api(lab: Lab, examine: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    send = Connections.send

    def watch(connections: Connections, request: Request, timeout: Timeout) -> HttpResponse:
        sent.append((request.method, request.url, "Authorization" in request.headers))
        return send(connections, request, timeout)

    monkeypatch.setattr(Connections, "send", watch)

    assert examine(lab).healthy
    assert sent == [("GET", f"{lab.api_url}/echo", False), ("GET", f"{lab.api_url}/echo", True)]


def test_a_session_of_the_role_needs_no_role(lab: Lab, examine: Doctor, me: Credentials) -> None:
    report = examine(lab, **keys(me))

    assert report.healthy
    assert (
        "none: requests are signed as arn:aws:sts::111111111111:assumed-role/" in report.steps["role ARN"]["observed"]
    )


# --- "is not authorized to perform: sts:AssumeRole" -------------------------------------------------------------------


def test_account_b_does_not_allow_it(lab: Lab, source: Doctor) -> None:
    report = source(lab, lab.user(ACCOUNT_B, "novice"), role_session_name="222222222222-novice")

    assert report.failed() == ["AssumeRole"]
    assert report.causes() == {}, "STS says which policy it is"
    assert report.next.startswith("Account B: no policy of the caller allows sts:AssumeRole")
    assert "Account A" not in report.next
    assert "is not authorized to perform: sts:AssumeRole" in report.steps["AssumeRole"]["observed"]


def test_neither_side_shows_that_it_refuses(lab: Lab, examine: Doctor) -> None:
    report = examine(lab, external_id="wrong")

    assert report.failed() == ["AssumeRole"]
    assert "is not authorized to perform: sts:AssumeRole on resource" in report.steps["AssumeRole"]["observed"]
    assert report.causes() == dict.fromkeys(
        ["MFA", "ExternalId", "identity policy", "role ARN", "trusted account", "principal pattern", "session name"],
        "possible",
    )
    assert report.causes("remedy")["identity policy"].startswith("Account B: the caller's policy must allow")
    assert report.next == "STS does not say which of these it is. The likeliest: " + report.causes("remedy")["MFA"]


def test_the_session_name_is_not_the_accounts(lab: Lab, examine: Doctor) -> None:
    report = examine(lab, role_session_name="my-user")

    assert report.failed() == ["session name", "AssumeRole"]
    assert report.steps["session name"]["expected"].startswith("222222222222-<name>")
    assert report.next.startswith("Account B: set role_session_name")
    assert report.causes()["session name"] == "found"


def test_the_session_name_is_missing(lab: Lab, examine: Doctor) -> None:
    report = examine(lab, role_session_name=None)

    assert report.failed() == ["session name", "AssumeRole"]
    assert report.steps["session name"]["observed"] == "the profile has no role_session_name"


def test_the_external_id_is_missing(lab: Lab, examine: Doctor) -> None:
    report = examine(lab, external_id=None)

    assert report.failed() == ["AssumeRole"]
    assert report.causes()["ExternalId"] == "found"
    assert report.next == "Account B: external_id must be account A's output ExternalId (call-api configure)."


@pytest.fixture(scope="module")
def trainee(lab: Lab) -> Credentials:
    """A user who may assume the role, and may see that account B is not to blame."""
    return lab.user(ACCOUNT_B, "trainee", lab.may_assume_executor(), SIMULATE)


TRAINEE = {"role_session_name": "222222222222-trainee"}


def test_the_external_id_is_wrong(lab: Lab, source: Doctor, trainee: Credentials) -> None:
    report = source(lab, trainee, **TRAINEE, external_id=lab.external_id.upper())

    assert report.failed() == ["AssumeRole"]
    assert report.causes()["identity policy"] == "ruled out"
    assert report.causes()["ExternalId"] == "possible"
    assert report.causes("remedy")["identity policy"] == ""
    assert report.causes("remedy")["ExternalId"] == "Account B: compare external_id with account A's output ExternalId."
    assert report.next.startswith("STS does not say which of these it is. The likeliest: Account B: unless")


def test_the_role_is_another(lab: Lab, source: Doctor, trainee: Credentials) -> None:
    report = source(lab, trainee, **TRAINEE, role_arn="arn:aws:iam::111111111111:role/provider-ExecutorRole")

    assert report.failed() == ["AssumeRole"]
    assert report.next.startswith("Account B: no policy of the caller allows sts:AssumeRole")


def test_the_role_arn_is_invalid(lab: Lab, examine: Doctor) -> None:
    report = examine(lab, role_arn="arn:aws:sts::111111111111:assumed-role/provider-ExecutorRole/me")

    assert report.failed()[0] == "role ARN"
    assert report.next == "Account B: set role_arn to account A's output ExecutorRoleArn."


type Change = Callable[[dict[str, Any]], object]


@contextmanager
def trust(lab: Lab, change: Change) -> Iterator[None]:
    """Change every statement of the executor role's trust policy for a while."""
    iam = lab.session(ACCOUNT_A).client("iam")
    role = lab.outputs[ACCOUNT_A]["ExecutorRoleArn"].rpartition("/")[2]
    policy = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    changed = json.loads(json.dumps(policy))
    for statement in changed["Statement"]:
        change(statement)
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(changed))
    try:
        yield
    finally:
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(policy))


@pytest.mark.parametrize(
    ("change", "cause", "remedy"),
    [
        (
            lambda statement: statement.update(Principal={"AWS": "333333333333"}),
            "trusted account",
            "Account A: ConsumerAccountIds must have 222222222222.",
        ),
        (
            lambda statement: statement["Condition"].update(
                ArnLike={"aws:PrincipalArn": "arn:aws:iam::222222222222:role/*"}
            ),
            "principal pattern",
            "Account A: one of CallerPrincipalArns must match arn:aws:iam::222222222222:user/colleague.",
        ),
        (
            lambda statement: statement["Condition"].update(StringLike={"sts:RoleSessionName": "222222222222-jobs-*"}),
            "session name",
            "Account A: if ConsumerSessionName is narrower than its default, it must match 222222222222-colleague.",
        ),
        (
            lambda statement: statement["Condition"].update(Bool={"aws:MultiFactorAuthPresent": "true"}),
            "MFA",
            "Account B: unless account A's RequireMfaForUsers is false, set mfa_serial to a virtual (TOTP) device; "
            "passkeys and security keys give no codes.",
        ),
    ],
    ids=["account", "principal", "session name", "MFA"],
)
def test_account_a_does_not_trust_the_caller(
    own_lab: Lab, source: Doctor, colleague: Credentials, change: Change, cause: str, remedy: str
) -> None:
    with trust(own_lab, change):
        report = source(own_lab, colleague, role_session_name="222222222222-colleague")

    assert report.failed() == ["AssumeRole"]
    assert report.causes()["identity policy"] == "ruled out"
    assert report.causes()[cause] == "possible"
    assert report.causes("remedy")[cause] == remedy
    assert source(own_lab, colleague, role_session_name="222222222222-colleague").healthy


@pytest.fixture(scope="module")
def colleague(own_lab: Lab) -> Credentials:
    return own_lab.user(ACCOUNT_B, "colleague", own_lab.may_assume_executor(), SIMULATE)


def test_a_workload_is_not_asked_for_mfa(lab: Lab, source: Doctor) -> None:
    workload = lab.role(ACCOUNT_B, "diagnosed-workload", lab.may_assume_executor(), SIMULATE)

    report = source(lab, workload, role_session_name="222222222222-w", external_id="wrong")

    assert report.causes()["MFA"] == "ruled out"
    assert report.causes()["identity policy"] == "ruled out"
    assert report.causes("observed")["principal pattern"] == (
        "the caller is arn:aws:iam::222222222222:role/*/diagnosed-workload"
    )
    assert report.next.endswith("Account B: compare external_id with account A's output ExternalId.")


# --- "Missing Authentication Token" -----------------------------------------------------------------------------------


def test_the_stage_does_not_exist(lab: Lab, examine: Doctor) -> None:
    report = examine(lab, "--api-url", f"{lab.api_url.removesuffix('/v1')}/v9")

    assert report.failed() == ["stage"]
    assert report.next.startswith("Account B: check the host and the stage in the API's URL.")


@contextmanager
def role_policy(lab: Lab, *statements: Mapping[str, object]) -> Iterator[None]:
    """Give the executor role another policy for a while."""
    iam = lab.session(ACCOUNT_A).client("iam")
    role = lab.outputs[ACCOUNT_A]["ExecutorRoleArn"].rpartition("/")[2]
    [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    changed = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=changed)
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))


EVERY_ROUTE = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}


def test_the_path_does_not_exist(own_lab: Lab, examine: Doctor) -> None:
    with role_policy(own_lab, EVERY_ROUTE):
        report = examine(own_lab, "/nowhere")

    assert report.failed() == ["path"]
    assert "Missing Authentication Token" in report.steps["path"]["observed"]
    assert report.next == "Account B: the API's stage has no such method and path."
    assert report.steps["signature"]["status"] == "not tried"


# --- "is not authorized to perform: execute-api:Invoke" ---------------------------------------------------------------


def test_the_role_lacks_the_route(own_lab: Lab, examine: Doctor) -> None:
    other_route = {**EVERY_ROUTE, "Resource": "arn:aws:execute-api:*:*:*/v1/GET/done"}

    with role_policy(own_lab, other_route):
        report = examine(own_lab)

    assert report.failed() == ["permission"]
    assert "is not authorized to perform: execute-api:Invoke" in report.steps["permission"]["observed"]
    assert report.next.startswith(
        "Account A: the executor role's policy lacks this method and path. Account B: or the URL is not account A's"
    )


def test_the_sessions_were_revoked(own_lab: Lab, examine: Doctor) -> None:
    with role_policy(own_lab, EVERY_ROUTE, {**EVERY_ROUTE, "Effect": "Deny"}):
        report = examine(own_lab)

    assert report.failed() == ["permission"]
    assert report.next.startswith(
        "Account A: a policy of the executor role denies this method and path. Such a policy suspends a consumer"
    )


@contextmanager
def resource_policy(lab: Lab, change: Change) -> Iterator[None]:
    """Change the API's resource policy for a while, and deploy it, without which it has no effect."""
    gateway = lab.session(ACCOUNT_A).client("apigateway")
    api = lab.outputs[ACCOUNT_A]["ApiId"]
    # API Gateway gives it as the inside of a JSON string.
    policy = json.loads(json.loads(f'"{gateway.get_rest_api(restApiId=api)["policy"]}"'))
    changed = json.loads(json.dumps(policy))
    change(changed["Statement"][0])

    def deploy(document: object) -> None:
        patch: Any = {"op": "replace", "path": "/policy", "value": json.dumps(document)}
        gateway.update_rest_api(restApiId=api, patchOperations=[patch])
        gateway.create_deployment(restApiId=api, stageName="v1")

    deploy(changed)
    try:
        yield
    finally:
        deploy(policy)


def test_the_resource_policy_denies_even_the_executor(own_lab: Lab, examine: Doctor) -> None:
    with resource_policy(own_lab, lambda statement: statement.pop("Condition")):
        report = examine(own_lab)

    assert report.failed() == ["permission"]
    assert "with an explicit deny in a resource-based policy" in report.steps["permission"]["observed"]
    assert report.next.startswith("Account A: the API's resource policy denies this method and path.")
    assert examine(own_lab).healthy


# --- "The request signature we calculated does not match" -------------------------------------------------------------


def test_the_secret_is_wrong(lab: Lab, source: Doctor) -> None:
    report = source(lab, Credentials(lab.user_key.access_key, "x" * 40))

    assert report.failed() == ["credentials"]
    assert "SignatureDoesNotMatch" in report.steps["credentials"]["observed"]
    assert report.next.startswith("Account B: the caller's own credentials are not valid: the secret access key")
    assert report.steps["AssumeRole"]["status"] == "not tried"


type Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def server(answer: Callable[[BaseHTTPRequestHandler], Answer], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve GET on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answer(self)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as listener:
        if tls:
            listener.socket = tls.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
            listener.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.server_port}/v1"
        finally:
            listener.shutdown()
            thread.join()


def test_something_in_between_changes_the_url(lab: Lab, examine: Doctor) -> None:
    def forward(request: BaseHTTPRequestHandler) -> Answer:
        with requests.Session() as http:
            http.trust_env = False
            answer = http.get(
                lab.api_url + request.path.removeprefix("/v1"),
                headers={**dict(request.headers), "Host": urlsplit(lab.endpoint).netloc},
                verify=str(lab.ca_file),
                timeout=600,
            )
        code = {"x-amzn-errortype": answer.headers["x-amzn-errortype"]}
        return answer.status_code, {**code, "Content-Type": "application/json"}, answer.content

    with server(forward) as url:
        report = examine(lab, "--api-url", url)

    assert report.failed() == ["signature"]
    assert "InvalidSignatureException" in report.steps["signature"]["observed"]
    assert report.next.startswith(
        "Account B: check the API's region, the secret access key, and whether something in between"
    )


# --- "Signature expired" ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "words"), [(-20, "behind STS"), (20, "ahead of STS")])
def test_the_clock_is_wrong(lab: Lab, examine: Doctor, minutes: int, words: str) -> None:
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=minutes), tick=True):
        report = examine(lab)

    assert report.failed()[:2] == ["clock", "credentials"]
    assert report.steps["clock"]["observed"].endswith(words)
    assert 1190 <= int(report.steps["clock"]["observed"].split()[0]) <= 1230
    assert report.next == "Account B: set the clock."
    assert report.steps["credentials"]["remedy"] == "Account B: set the clock."


# --- "The security token included in the request is expired / is invalid" ---------------------------------------------


def test_the_session_is_expired(lab: Lab, examine: Doctor) -> None:
    session = lab.assume_executor(lab.user_key, f"222222222222-{USER}", seconds=1)
    sleep(1.1)

    report = examine(lab, **keys(session))

    assert report.failed() == ["credentials"]
    assert report.next == "Account B: the caller's own credentials have expired: get new ones."


def test_the_session_token_is_forgotten(lab: Lab, examine: Doctor, me: Credentials) -> None:
    report = examine(lab, **keys(Credentials(me.access_key, me.secret_key)))

    assert report.failed() == ["credentials"]
    assert report.next.startswith("Account B: set AWS_SESSION_TOKEN or aws_session_token")


EXPIRED = (
    "Account B: the session has expired or is not valid: get a new one. If that is rejected too, check the clock and "
    "the partition of the API's URL."
)
INVALID = ExpiredSessionError(403, code="UnrecognizedClientException").remedy

# --- What the emulator never says: answers as AWS gives them ----------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "message", "step", "remedy"),
    [
        (
            403,
            "InvalidSignatureException",
            "Credential should be scoped to a valid region, not 'eu-west-1'. ",
            "signature",
            "Account B: sign for the API's region.",
        ),
        (
            403,
            "InvalidSignatureException",
            "Signature expired: 20261123T120000Z is now earlier than 20261123T121000Z",
            "signature",
            "Account B: set the clock.",
        ),
        (
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
            "signature",
            EXPIRED,
        ),
        (
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            "signature",
            INVALID,
        ),
        (
            403,
            "IncompleteSignatureException",
            "'x' not a valid key=value pair",
            "signature",
            "Account B: something in between changes the Authorization header.",
        ),
        (400, "BadRequestException", "no", "backend", "Account B: fix the call."),
    ],
)
def test_what_api_gateway_says(
    lab: Lab, examine: Doctor, status: int, code: str, message: str, step: str, remedy: str
) -> None:
    def answer(request: BaseHTTPRequestHandler) -> Answer:
        signed = "Authorization" in request.headers
        name, text = (
            (code, message) if signed else ("MissingAuthenticationTokenException", "Missing Authentication Token")
        )
        return status if signed else 403, {"x-amzn-ErrorType": name}, json.dumps({"message": text}).encode()

    with server(answer) as url:
        report = examine(lab, "--api-url", url)

    assert report.failed() == [step]
    assert message.strip() in report.steps[step]["observed"]
    assert report.next == remedy


# --- URL, region, DNS, TLS, stage, backend ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "step", "remedy"),
    [
        ("", "URL", "Set --api-url or $API_URL, or write a profile with call-api configure."),
        ("http://example.com/v1", "URL", "Set --api-url or $API_URL, or write a profile with call-api configure."),
        ("https://no-such-host.invalid/v1", "DNS", "Account B: check the host in the API's URL, and DNS."),
        ("https://127.0.0.1:9/v1", "TLS", "Account B: check the API's URL, and whether this network lets it out."),
    ],
)
def test_the_url_leads_nowhere(lab: Lab, examine: Doctor, url: str, step: str, remedy: str) -> None:
    report = examine(lab, environment={"API_URL": url})

    assert report.failed()[0] == step
    assert report.next.startswith(remedy)
    assert report.steps["AssumeRole"]["status"] == "ok"
    assert report.steps["backend"]["status"] == "not tried"


def test_the_region_is_not_the_urls(lab: Lab, examine: Doctor) -> None:
    report = examine(
        lab, "--api-url", "https://no-such-host.execute-api.eu-west-1.amazonaws.com/v1", "--region", "eu-north-1"
    )

    assert report.failed()[0] == "region"
    assert report.next == "Account B: --region, $API_REGION and api_region must be the API's region."


def test_the_certificate_is_somebody_elses(lab: Lab, examine: Doctor) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)

    with server(lambda _: (200, {}, b"{}"), tls) as url:
        report = examine(lab, "--api-url", url)

    assert report.failed() == ["TLS"]
    assert "unable to get local issuer certificate" in report.steps["TLS"]["observed"]
    assert report.next.startswith(
        "Account B: if something on the network intercepts TLS, AWS_CA_BUNDLE or the profile's ca_bundle"
    )


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        ((200, {}, b"{}"), "Account A: the API is open to everybody; its methods must have the authorizer AWS_IAM."),
        (
            (302, {"Location": "/"}, b""),
            "Account B: use the API's own URL; redirects are never followed.",
        ),
        ((404, {}, b"not here"), "Account B: the API's URL must be account A's output ApiUrl."),
    ],
)
def test_there_is_no_closed_api(lab: Lab, examine: Doctor, answer: Answer, remedy: str) -> None:
    with server(lambda _: answer) as url:
        report = examine(lab, "--api-url", url)

    assert report.failed()[0] == "stage"
    assert report.next == remedy


@pytest.fixture(scope="module")
def http_api(lab: Lab) -> str:
    """URL of an HTTP API in account A without a stage in it, whose one route needs a signature."""
    gateway = lab.session(ACCOUNT_A).client("apigatewayv2")
    api = gateway.create_api(Name="http", ProtocolType="HTTP")["ApiId"]
    target = {"IntegrationType": "HTTP_PROXY", "IntegrationUri": "https://127.0.0.1:9/", "IntegrationMethod": "GET"}
    integration = gateway.create_integration(ApiId=api, PayloadFormatVersion="1.0", **target)["IntegrationId"]
    gateway.create_route(
        ApiId=api, RouteKey="GET /products", AuthorizationType="AWS_IAM", Target=f"integrations/{integration}"
    )
    gateway.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    return f"{lab.endpoint}/_aws/execute-api/{api}"


def test_an_http_api_is_an_api(lab: Lab, examine: Doctor, http_api: str) -> None:
    refused = examine(lab, "/products", "--api-url", http_api)
    missing = examine(lab, "/nothing", "--api-url", http_api)

    assert refused.steps["stage"]["observed"] == "an unsigned request is refused by an HTTP API with 403"
    assert refused.failed() == ["permission"]
    assert missing.failed() == ["path"]


def test_the_backend_has_no_such_resource(lab: Lab, examine: Doctor) -> None:
    report = examine(lab, "/echo/404")

    assert report.failed() == ["backend"]
    assert report.next == "Account B: check the path and the ids in it."


# --- The caller's own side --------------------------------------------------------------------------------------------


def test_the_profile_does_not_exist(lab: Lab, examine: Doctor) -> None:
    report = examine(lab, "--profile", "nobody")

    assert report.failed()[0] == "profile"
    assert report.next.startswith("Account B: name a profile of your AWS configuration")


def test_the_source_profile_does_not_exist(lab: Lab, examine: Doctor) -> None:
    report = examine(lab, source_profile="nobody")

    assert report.failed()[0] == "profile"
    assert report.next.startswith("Account B: correct the profile.")


def test_the_profile_has_no_credentials(lab: Lab, examine: Doctor) -> None:
    report = examine(lab, **keys(Credentials("", "")))

    assert report.failed() == ["credentials"]
    assert "NoCredentialsError" in report.steps["credentials"]["observed"]
    assert report.next.startswith("Account B: set AWS_PROFILE, or give credentials in another way")


def test_the_profile_has_no_role(lab: Lab, examine: Doctor) -> None:
    report = examine(lab, **keys(lab.user_key))

    assert report.failed() == ["permission"]
    assert f"user/{USER} is not the executor role: assume account A's output" in report.next


def test_the_root_user_can_assume_no_role(lab: Lab, examine: Doctor) -> None:
    report = examine(lab, source_profile=ACCOUNT_B)

    assert report.failed()[0] == "account"
    assert report.next == "Account B: use an IAM user or a role; the root user can assume none."


def test_the_caller_is_of_the_account_that_owns_the_role(lab: Lab, source: Doctor) -> None:
    report = source(lab, lab.user(ACCOUNT_A, "provider", lab.may_assume_executor()))

    assert report.failed()[0] == "account"
    assert report.next.startswith("Account B: source_profile must have credentials of account B")


def test_the_environment_comes_before_the_profile(lab: Lab, tmp_path: Path) -> None:
    env = {**lab.environment, "AWS_PROFILE": USER_PROFILE, "API_URL": lab.api_url, "HOME": str(tmp_path)}
    keys_of_somebody = {"AWS_ACCESS_KEY_ID": lab.user_key.access_key, "AWS_SECRET_ACCESS_KEY": lab.user_key.secret_key}

    result = CliRunner(mix_stderr=False, env=env | keys_of_somebody).invoke(main, ["doctor", "--json"])

    report = Report(result.exit_code, result.stdout)
    assert report.failed()[0] == "role ARN"
    assert report.next.startswith("Account B: unset AWS_ACCESS_KEY_ID")
