"""The judge accepts what AWS accepts, and names the mistake in what it would refuse."""

import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.exceptions import ClientError

from cross_account_access.project import PROJECT
from cross_account_api import Client, ForbiddenError, RedirectError
from cross_account_lab.__main__ import main
from cross_account_lab.judge import sigv4
from cross_account_lab.judge.differences import Api, explain, find_notes
from cross_account_lab.judge.judge import SignedApi, serve
from cross_account_lab.judge.pytest_plugin import signed_api
from cross_account_lab.judge.sigv4 import Credentials, Request
from tests.wire.world import FixedCredentials

__all__ = ["signed_api"]

# --- The verifier -----------------------------------------------------------------------------------------------------

PUBLISHED = json.loads((Path(__file__).parent / "aws4_testsuite/cases.json").read_text())
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
DATE, SCOPE = "20150830T123600Z", "20150830/us-east-1/service/aws4_request"
NOT_ACCEPTED = {
    # The token is added after signing, which the suite's notes leave to each service; API Gateway wants it signed.
    "post-sts-token/post-sts-header-after": "must be signed are not in SignedHeaders",
    # Published with the signature of get-vanilla, which does not match its own string to sign.
    "get-vanilla-with-session-token": "does not match",
}
"""The two published cases that API Gateway would not accept."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_verifier_passes_aws_s_published_suite(name: str) -> None:
    case = PUBLISHED[name]
    head, _, body = case["signed_request"].partition("\n\n")  # without the line endings and length of a real one
    received = sigv4.receive(io.BytesIO(head.replace("\n", "\r\n").encode() + b"\r\n\r\n"))
    assert received is not None
    request = replace(received, body=body.encode())

    canonical = sigv4.canonical_request(request, case["canonical_request"].splitlines()[-2].split(";"))
    assert canonical == case["canonical_request"]
    assert sigv4.string_to_sign(canonical, DATE, SCOPE) == case["string_to_sign"]

    keys = {"AKIDEXAMPLE": Credentials(SECRET_KEY, next(iter(request.values("x-amz-security-token")), None))}
    options: Any = {"region": "us-east-1", "service": "service", "now": datetime(2015, 8, 30, 12, 36, tzinfo=UTC)}
    if name in NOT_ACCEPTED:
        with pytest.raises(sigv4.RefusedError, match=NOT_ACCEPTED[name]):
            sigv4.verify(request, keys, **options)
    else:
        assert sigv4.verify(request, keys, **options) == "AKIDEXAMPLE"


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nContent-Length: +2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_an_ambiguous_request_is_refused(raw: bytes) -> None:
    with pytest.raises(sigv4.MalformedRequestError, match=r"line|header|body|content-length"):
        sigv4.receive(io.BytesIO(raw))


KIT = json.loads((PROJECT / "cross_account_lab/judge/cases.json").read_text())


@pytest.mark.parametrize("case", KIT["cases"], ids=lambda case: f"{case['kind']}: {case['name']}")
def test_the_cases_are_signed_as_the_sdk_signs_them(case: dict[str, Any]) -> None:
    if case["name"] == "lower-case escapes":
        pytest.xfail("botocore signs %2f as it is, and AWS does not")
    key = KIT["credentials"][case["credentials"]]
    credentials = BotocoreCredentials(key["access_key"], key["secret_key"], key["token"])
    signer = SigV4Auth(credentials, KIT["service"], KIT["region"])
    headers = {"X-Amz-Date": case["date"]} | ({"X-Amz-Security-Token": key["token"]} if key["token"] else {})
    request = AWSRequest(case["method"], KIT["url"] + case["path"], headers, case.get("body", "").encode())
    request.context["timestamp"] = case["date"]

    canonical = signer.canonical_request(request)

    assert canonical.split("\n") == case["canonical_request"]
    assert signer.signature(signer.string_to_sign(request, canonical), request) == case["signature"]


# --- What differs -----------------------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
API = Api("a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com", "eu-west-1")
KEYS = {"AKIDEXAMPLE": Credentials("secret", "token")}
TOKEN = ("x-amz-security-token", "token")


def sign(
    path: str = "/v1/orders",
    *,
    body: bytes = b"",
    canonical: Callable[[str], str] = lambda text: text,
    scope: str = "20261129/eu-west-1/execute-api/aws4_request",
    date: str = "20261129T120000Z",
    secret: str = "secret",  # noqa: S107 - of a test
    key: str = "AKIDEXAMPLE",
    headers: tuple[tuple[str, str], ...] = (("x-amz-security-token", "token"),),
    names: tuple[str, ...] = (),
) -> Request:
    """Sign a request, with the mistake that `canonical` makes."""
    all_headers = (("host", API.host), ("x-amz-date", date), *headers)
    signed = names or tuple(sorted(name for name, _ in all_headers))
    request = Request("PUT", path, all_headers, body)
    text = sigv4.string_to_sign(canonical(sigv4.canonical_request(request, signed)), date, scope)
    value = (
        f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={';'.join(signed)}, "
        f"Signature={sigv4.signature(secret, scope, text)}"
    )
    return replace(request, headers=(*all_headers, ("authorization", value)))


def differences(request: Request, api: Api = API) -> tuple[str, ...]:
    return explain(request, api, KEYS, NOW).differences


def test_nothing_differs_in_a_request_that_is_signed_right() -> None:
    assert differences(sign("/v1/a%20b/c;d?b=1&a=%C3%A9&a", body=b"tea")) == ()


def line(number: int, text: str) -> Callable[[str], str]:
    """Sign another line of the canonical request: 0 method, 1 path, 2 query, 3 host, -1 hash of the body."""

    def change(canonical: str) -> str:
        lines = canonical.split("\n")
        lines[number] = text
        return "\n".join(lines)

    return change


@pytest.mark.parametrize(
    ("path", "number", "signed", "sentence"),
    [
        ("/v1/a%20b", 1, "/v1/a%20b", "The path was signed as it was sent"),
        ("/v1/a%20b", 1, "/v1/a b", "The path was signed decoded"),
        ("/v1/a%20b", 1, "/v1/a%252520b", "The path was encoded three times"),
        ("/v1//a", 1, "/v1//a", "The path was signed as it was sent"),
        ("/v1//a%20b", 1, "/v1//a%2520b", "The path was signed with its empty or dot segments"),
        ("/v1/a", 1, "/a", "The path was signed without its first segment"),
        ("/v1/a", 1, "/", "The path was signed as /."),
        ("/v1/a?b=1&a=2", 2, "b=1&a=2", "The query was signed as it was sent"),
        ("/v1/a?b=%2f&a=2", 2, "b=%2F&a=2", "The query was signed in the order"),
        ("/v1/a?q&a=1", 2, "a=1&q", "The query was sorted, but not encoded"),
        ("/v1/a?q=a%20b", 2, "q=a%2520b", "The query was encoded twice for the signature: once"),
        ("/v1/a?q=%2F", 2, "q=%252f", "The query was encoded twice for the signature, and its escapes changed case"),
        ("/v1/a?q=%2F", 2, "q=%2f", "The query was signed as it was sent|lower-case escapes"),
        ("/v1/a?q=1", 2, "", "The query was left out"),
        ("/v1/a?q=a+b", 2, "q=a%20b", "some services read it as a plus and others as a space. Send %2B or %20"),
        ("/v1/a", 3, "host:a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com:443", "for none of the usual reasons"),
        ("/v1/a", 0, "put", "for none of the usual reasons"),
        ("/v1/a", -1, sigv4.UNSIGNED, "The body was signed as UNSIGNED-PAYLOAD"),
        ("/v1/a", -1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "The body was left out"),
    ],
)
def test_a_wrong_signature_names_its_mistake(path: str, number: int, signed: str, sentence: str) -> None:
    [found] = differences(sign(path, body=b"tea", canonical=line(number, signed)))

    assert re.search(sentence, found)


def test_two_mistakes_are_two_sentences() -> None:
    def both(canonical: str) -> str:
        return line(1, "/v1/a%20b")(line(2, "b=1&a=2")(canonical))

    found = differences(sign("/v1/a%20b?b=1&a=2", canonical=both))

    assert [text.partition(":")[0] for text in found] == [
        "The path was signed as it was sent",
        "The query was signed as it was sent",
    ]


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (
            sign(scope="20261129/us-east-1/execute-api/aws4_request"),
            "The region in the credential scope is us-east-1",
        ),
        (
            sign(scope="20261129/eu-west-1/lambda/aws4_request"),
            "The service in the credential scope is lambda",
        ),
        (sign(scope="20261128/eu-west-1/execute-api/aws4_request"), "The date in the credential scope is 20261128; it"),
        (sign(date="20261129T115000Z"), "X-Amz-Date is 600 s behind the clock here (20261129T120000Z)"),
        (sign(date="20261129T121000Z"), "X-Amz-Date is 600 s ahead of the clock here"),
        (sign(date="29.11.2026"), "There must be one X-Amz-Date header"),
        (sign(key="AKIDNOBODY"), "The access key AKIDNOBODY does not exist here."),
        (sign(secret="another"), "if both are equal, the secret access key or the derived key differs"),
        (sign(headers=()), "X-Amz-Security-Token is missing"),
        (sign(headers=(("x-amz-security-token", "old"),)), "X-Amz-Security-Token is not the token of this access key."),
        (sign(names=("host", "x-amz-date")), "must be signed are not in SignedHeaders: x-amz-security-token"),
        (sign(names=("x-amz-date", "host", "x-amz-security-token")), "SignedHeaders are not sorted"),
        (sign(names=("accept", "host", "x-amz-date", "x-amz-security-token")), "headers that did not arrive: accept"),
        (sign(headers=(("x-amz-content-sha256", "0" * 64), TOKEN)), "X-Amz-Content-Sha256 is not the hash of the body"),
        (sign("/orders"), "The path does not begin with the stage, /v1"),
        (Request("GET", "/v1", ()), "There is no Authorization header"),
        (Request("GET", "/v1?X-Amz-Signature=0", ()), "The signature is in the query"),
        (Request("GET", "/v1", (("authorization", "Bearer x"),)), "The Authorization header is malformed"),
        (Request("GET", "/v1", (("authorization", "a"),) * 2), "There are 2 Authorization headers"),
    ],
)
def test_what_the_headers_say_wrong(request_: Request, sentence: str) -> None:
    found = differences(request_)

    assert [sentence in text for text in found] == [True], found


def test_whatever_is_refused_is_explained() -> None:
    request = sign("/v1/a?b=1", body=b"tea", headers=(("x-amz-content-sha256", sha256(b"tea").hexdigest()), TOKEN))
    head = "".join(f"{name}: {value}\r\n" for name, value in (*request.headers, ("content-length", "3")))
    genuine = f"PUT /v1/a?b=1 HTTP/1.1\r\n{head}\r\ntea".encode()
    explained = 0
    for index in range(len(genuine)):
        raw = bytearray(genuine)
        raw[index] ^= 1
        with suppress(sigv4.MalformedRequestError):
            changed = sigv4.receive(io.BytesIO(raw))
            assert changed is not None
            explained += bool(differences(changed))
    assert explained > len(genuine) / 2


def test_a_wrong_host_and_a_wrong_body_are_told_beside_each_other() -> None:
    request = replace(sign(body=b"tea"), body=b"cup")
    found = differences(request, replace(API, host="orders.example.com"))

    assert "Host is" in found[0]
    assert "for none of the usual reasons" in found[1]


def test_vpc_lattice_wants_no_body_signed() -> None:
    lattice = replace(API, service="vpc-lattice-svcs", stage="")
    scope = "20261129/eu-west-1/vpc-lattice-svcs/aws4_request"
    unsigned = (("x-amz-content-sha256", sigv4.UNSIGNED), TOKEN)

    assert differences(sign(scope=scope, headers=unsigned, body=b"tea"), lattice) == ()
    assert differences(sign(scope=scope), lattice) == ("X-Amz-Content-Sha256 must be UNSIGNED-PAYLOAD.",)


def test_an_expired_session_is_told() -> None:
    keys = {"AKIDEXAMPLE": Credentials("secret", "token", NOW - timedelta(seconds=1))}
    assert explain(sign(), API, keys, NOW).differences == (
        "The session has expired: get a new one, and sign the request with it.",
    )


def test_a_raw_plus_is_noted_although_it_is_right_here() -> None:
    assert "Send %2B or %20" in find_notes(sign("/v1/a?q=a+b"))[0]
    assert find_notes(sign("/v1/a+b?q=a%2Bb")) == []


# --- Served -----------------------------------------------------------------------------------------------------------


def test_a_caller_can_be_tested_with_the_fixture(signed_api: SignedApi) -> None:
    environment = signed_api.environment
    client = Client(
        signed_api.url,
        role_arn=environment["EXECUTOR_ROLE_ARN"],
        external_id=environment["EXTERNAL_ID"],
        session_name=environment["SESSION_NAME"],
    )
    assert client.get("/orders", query={"b": 1, "a": "a b"}).body["query"] == "b=1&a=a%20b"
    assert [request.target for request in signed_api.accepted] == ["/v1/orders?b=1&a=a%20b"]
    assert signed_api.refused == []

    with pytest.raises(RedirectError):
        client.get("/redirect")
    client.get("/expire")
    assert client.get("/whoami").attempts == 2, "the session was replaced"
    assert client.get("/whoami").attempts == 1


def test_the_sts_says_what_is_missing(signed_api: SignedApi) -> None:
    client = boto3.Session().client("sts")
    assert client.get_caller_identity()["Account"] == "222222222222"
    role: Any = {"RoleArn": signed_api.environment["EXECUTOR_ROLE_ARN"], "RoleSessionName": "222222222222-x"}
    with pytest.raises(ClientError, match="AccessDenied"):
        client.assume_role(**role)
    session = client.assume_role(**role, ExternalId=signed_api.environment["EXTERNAL_ID"])
    assert session["Credentials"]["AccessKeyId"] in signed_api.judge.keys


def test_a_caller_that_signs_wrong_reads_why(signed_api: SignedApi) -> None:
    wrong = FixedCredentials(signed_api.environment["AWS_ACCESS_KEY_ID"], "another", "token-of-another")

    with pytest.raises(ForbiddenError, match="X-Amz-Security-Token is not the token of this access key"):
        Client(signed_api.url, region="us-east-1", credentials=wrong).get("/")

    [verdict] = signed_api.refused
    assert "The region in the credential scope is us-east-1; it must be eu-west-1." in verdict.differences
    response = requests.get(signed_api.url, timeout=60)
    assert response.status_code == 403
    assert response.json()["differences"] == ["There is no Authorization header: the request is not signed."]


def test_following_a_redirect_with_the_token_is_told(signed_api: SignedApi) -> None:
    response = requests.get(f"{signed_api.elsewhere}/v1", headers={"X-Amz-Security-Token": "x"}, timeout=60)
    assert (response.status_code, "A redirect was followed" in response.text) == (403, True)
    assert requests.get(f"{signed_api.elsewhere}/v1", timeout=60).status_code == 200


def test_a_judge_of_another_service_has_no_stage() -> None:
    with serve(service="lambda", stage="") as api:
        assert requests.get(api.url, timeout=60).status_code == 403
        assert api.url.count("/") == 2


def test_the_command_serves_until_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    command = [sys.executable, "-m", "cross_account_lab", "verify", "--region", "us-east-2"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        exports = takewhile(lambda line: line.startswith("export "), process.stdout)
        variables = dict(re.findall(r"^export (\w+)=(.*)$", "".join(exports), re.M))
        with ThreadPoolExecutor() as pool:  # it listens before it reports
            line = pool.submit(process.stdout.readline)
            while not line.done():
                assert "not signed" in requests.get(variables["API_URL"], timeout=60).json()["message"]
        assert line.result() == "refused   GET /v1\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert variables["API_REGION"] == "us-east-2"


@pytest.mark.parametrize("stage", ["v1", "/v1/"])
def test_a_stage_in_another_form_is_refused(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["verify", "--stage", stage])
    assert "must be empty or like /v1" in capsys.readouterr().err
