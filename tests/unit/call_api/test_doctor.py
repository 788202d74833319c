"""`call-api doctor`: situations, and what it says about each. Every sentence of doctor is here."""

import getpass
import json
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import AssumeRoleProvider, ReadOnlyCredentials

from call_api.settings import find_remedy
from cross_account_api.errors import AssumeRoleError, CertificateError, ForbiddenError
from cross_account_api.transport import Request
from tests.support.fakes import API_URL, EXECUTOR_ROLE_ARN, Reply, json_reply, refusal, unreachable
from tests.unit.call_api.support import (
    MFA_SERIAL,
    SESSION,
    USER,
    FakeAws,
    GuardedApi,
    config_text,
    examine,
    run,
)

EXECUTOR = "arn:aws:sts::111111111111:assumed-role/orders-api-ExecutorRole-1A2B3C4D5E6F/222222222222-my-user"
METHOD = "arn:aws:execute-api:eu-west-1:********1111:a1b2c3d4e5/v1/GET/orders"
INVOKE = f"User: {EXECUTOR} is not authorized to perform: execute-api:Invoke on resource: {METHOD}"
ASSUME = f"User: {USER} is not authorized to perform: sts:AssumeRole on resource: {EXECUTOR_ROLE_ARN}"
REFUSED = {"failure": (403, "AccessDenied", ASSUME)}
OTHERS_ROLE = "arn:aws:iam::333333333333:role/partner"
ROLE = "arn:aws:iam::222222222222:role"
SSO_ROLE = "AWSReservedSSO_Dev_0"
TASK = f"{SESSION}/ecs-task/1"
HTTP_API = json_reply(403, {"message": "Forbidden"}, apigw_requestid="B1=")
ENDPOINT = "https://a1b2c3d4e5-vpce-0a1b2c3d.execute-api.eu-west-1.amazonaws.com/v1"
GIVE_A_PATH = "Give a path that the role may GET: call-api doctor /path, or api_path in the profile."
CHALLENGE = Reply(202, b"", {"x-amzn-waf-action": "challenge"})
EXPORTED = {"AWS_ACCESS_KEY_ID": "ASIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}
OF_EXPORTED = {"sessions": {"token": ReadOnlyCredentials(*EXPORTED.values())}}


@dataclass(frozen=True)
class Case:
    """What differs from a profile that may call the API, and what doctor makes of it.

    Attributes:
        says: By line, a step and words of what is said about it; ! is a failure, ? a warning. All others are neither.
        profile: Changed settings of the profile.
        address: Of the API's host; empty if it has none.
        chosen: Whether a path is given.
    """

    says: str = ""
    profile: Mapping[str, str | None] = field(default_factory=dict)
    aws: Mapping[str, Any] = field(default_factory=dict)
    api: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    options: Sequence[str] = ()
    name: str = "orders"
    address: str = "192.0.2.7"
    chosen: bool = True

    def lines(self) -> list[tuple[str, str, str]]:
        """Return step, mark and words of each line."""
        found = [re.fullmatch(r"([\w ]+?)([!?]?):(.*)", line.strip()) for line in self.says.splitlines()]
        return [(line[1], line[2], line[3].strip()) for line in found if line]

    def having(self, mark: str) -> list[str]:
        """Return the steps with a mark."""
        return list(dict.fromkeys(step for step, found, _ in self.lines() if found == mark))


CASES = {
    # Who calls
    "all is well": Case("""profile: orders: source_profile me, with role_arn, with external_id
        clock:  STS
        credentials: arn:aws:iam::222222222222:user/staff/my-user
        account: ok | 222222222222
        role ARN: arn:aws:iam::111111111111:role/orders-api-ExecutorRole-1A2B3C4D5E6F
        session name: 222222222222-my-user
        AssumeRole: a new session of the role
        URL: ok | https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/v1 |
        region: ok | eu-west-1 |
        DNS: ok | a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com is 192.0.2.7 |
        TLS: the certificate is trusted, by the public authorities in
        stage: an unsigned request is refused with 403 MissingAuthenticationTokenException
        path: GET /orders
        signature: accepted for eu-west-1
        permission: GET /orders is allowed
        backend: 200 in 0."""),
    "no such profile": Case(
        """profile!: ProfileNotFound
        profile!: | a profile that leads to the API |
        profile!: Account B: name a profile of your AWS configuration; call-api configure writes one.
        clock: STS was not asked
        credentials: no profile to find them with
        account: the caller is not known
        role ARN: no profile to read it from
        session name: no profile to read it from
        AssumeRole: no credentials to do it with
        URL: no profile to read it from
        region: there is no URL
        DNS: there is no URL
        TLS: there is no URL
        stage: no connection
        path: not tried | no session to sign with
        signature: not tried | no session to sign with
        permission: not tried | no session to sign with
        backend: not tried | no session to sign with""",
        name="nobody",
    ),
    "no such source, and a URL without a region": Case(
        """profile!: Account B: correct the profile.
        role ARN: arn:aws:iam::111111111111:role/orders-api-ExecutorRole-1A2B3C4D5E6F
        region: not tried | the profile that may name it cannot be used""",
        profile={"source_profile": "nobody"},
        options=["--api-url", "https://api.example.org/v1"],
        env={"AWS_REGION": ""},
    ),
    "no credentials": Case(
        """profile: ok | orders: credentials without a role
        clock: STS was not asked
        credentials!: NoCredentialsError
        credentials!: | credentials that STS knows |
        credentials!: Account B: set AWS_PROFILE, or give credentials in another way; call-api configure writes
        role ARN: none, and the caller is not known""",
        profile={"role_arn": None, "source_profile": None, "external_id": None},
    ),
    "no session token": Case(
        """profile: ok
        credentials!: Account B: set AWS_SESSION_TOKEN or aws_session_token""",
        profile={"source_profile": "orders", "aws_access_key_id": "ASIAEXAMPLE", "aws_secret_access_key": "x"},
    ),
    "a wrong secret": Case(
        """clock: ok
        credentials!: SignatureDoesNotMatch
        credentials!: Account B: the caller's own credentials are not valid: the secret access key
        AssumeRole: the credentials are not valid""",
        aws={"unknown": (403, "SignatureDoesNotMatch", "no match")},
    ),
    "a clock behind": Case(
        """clock!:  s behind STS
        clock!: at most 300 s
        clock!: Account B: set the clock.
        credentials!: set the clock""",
        aws={"ahead": 1200, "unknown": (403, "SignatureDoesNotMatch", "Signature expired: now")},
    ),
    "a clock ahead": Case("clock!:  s ahead of STS", aws={"ahead": -330}),
    "a clock a little behind": Case("clock: behind STS", aws={"ahead": 290}),
    "a web identity": Case(
        """profile: orders: with role_arn
        clock: STS was not asked
        credentials: a web identity is known only once it is used
        account: the caller is not known
        AssumeRole: ok""",
        profile={"source_profile": None, "web_identity_token_file": __file__},
    ),
    "an exported session of the role": Case(
        f"""profile: default: credentials without a role
        role ARN: none: requests are signed as {EXECUTOR} itself
        session name: ok | 222222222222-my-user
        AssumeRole: not needed""",
        aws={"arn": EXECUTOR},
        api=OF_EXPORTED,
        env=EXPORTED,
        name="",
    ),
    "an exported session of the profile's role": Case(
        f"""role ARN: ok | {EXECUTOR_ROLE_ARN}
        AssumeRole: not needed""",
        aws={"arn": EXECUTOR},
        api=OF_EXPORTED,
        env={**EXPORTED, "AWS_PROFILE": "orders"},
        name="",
    ),
    "an exported session of another role": Case(
        """role ARN!: AWS_ACCESS_KEY_ID is set and comes before the profile's role | a session of the profile's role
        role ARN!: Account B: unset AWS_ACCESS_KEY_ID, or name the profile with --profile.""",
        aws={"arn": f"{SESSION}/ecs-task/task-1"},
        api=OF_EXPORTED,
        env={**EXPORTED, "AWS_PROFILE": "orders"},
        name="",
    ),
    "the root user": Case(
        """account!: the root user of 222222222222
        account!: an IAM user or role of a consumer account
        account!: Account B: use an IAM user or a role; the root user can assume none.""",
        aws={"arn": "arn:aws:iam::222222222222:root"},
    ),
    "the role's own account": Case(
        """account!: 222222222222, which owns the role as well
        account!: Account B: source_profile must have credentials of account B, role_arn the role of account A.""",
        profile={"role_arn": EXECUTOR_ROLE_ARN.replace("111111111111", "222222222222")},
    ),
    "another role of one's own": Case("account?: owns the role as well", profile={"role_arn": f"{ROLE}/partner"}),
    "no ARN": Case(
        """role ARN!: arn:aws:iam::<account A>:role/<name>
        role ARN!: Account B: set role_arn to account A's output ExecutorRoleArn.
        AssumeRole!:""",
        profile={"role_arn": "orders"},
    ),
    "a session name without account": Case(
        """session name!: failed | my-user |
        session name!: | 222222222222-<name>, 2 to 64 letters, digits
        session name!: Account B: set role_session_name; account A knows the consumer by it. call-api configure""",
        profile={"role_session_name": "my-user"},
    ),
    "no session name": Case("session name!: the profile has no role_session_name", profile={"role_session_name": None}),
    "a short session name of an unknown caller": Case(
        """clock: STS did not respond
        credentials!: Account B: STS must be reachable
        session name!: <account id>-<name>""",
        profile={"role_session_name": "22222222222x-my-user"},
        aws={"is_down": True},
    ),
    "a session name for others": Case(
        "session name?: jane", profile={"role_arn": OTHERS_ROLE, "role_session_name": "jane"}
    ),
    "a role by option": Case(
        """session name: 222222222222-my-user
        AssumeRole: a new session of the role""",
        options=["--role-arn", EXECUTOR_ROLE_ARN, "--external-id", "abc"],
        name="me",
    ),
    "nothing is found": Case(
        """AssumeRole!: | a session of the role |
        AssumeRole!: MFA possible: the profile has no mfa_serial.
        AssumeRole!: Account B: unless account A's RequireMfaForUsers is false, set mfa_serial to a virtual (TOTP) d
        AssumeRole!: ExternalId possible: one of 21 characters is sent.
        AssumeRole!: Account B: compare external_id with account A's output ExternalId.
        AssumeRole!: identity policy possible: iam:SimulatePrincipalPolicy: ConnectTimeoutError.
        AssumeRole!: Account B: the caller's policy must allow sts:AssumeRole on arn:aws:iam::111111111111:role/orde
        AssumeRole!: role ARN possible: a role that does not exist is refused in the same way.
        AssumeRole!: Account B: compare role_arn with account A's output ExecutorRoleArn.
        AssumeRole!: trusted account possible: the caller is of account 222222222222.
        AssumeRole!: Account A: ConsumerAccountIds must have 222222222222.
        AssumeRole!: principal pattern possible: the caller is arn:aws:iam::222222222222:user/staff/my-user.
        AssumeRole!: Account A: one of CallerPrincipalArns must match arn:aws:iam::222222222222:user/staff/my-user.
        AssumeRole!: session name possible: '222222222222-my-user' fits <account id>-*.
        AssumeRole!: Account A: if ConsumerSessionName is narrower than its default, it must match 222222222222-my-user.
        AssumeRole!: STS does not say which of these it is. The likeliest: Account B: unless account A's""",
        aws=REFUSED,
    ),
    "nothing that is asked for": Case(
        """session name!:
        AssumeRole!: ExternalId found: none is sent.
        AssumeRole!: session name found: the profile has no role_session_name.
        AssumeRole!: Account B: role_session_name must start with 222222222222- (call-api configure).
        AssumeRole!: Account B: external_id must be account A's output ExternalId (call-api configure).
        AssumeRole!: Account B: role_s""",
        profile={"external_id": None, "role_session_name": None},
        aws=REFUSED,
    ),
    "nothing that others may ask for": Case(
        """session name?:
        AssumeRole!: ExternalId possible: none is sent
        AssumeRole!: session name possible: 'jane'.""",
        profile={"role_arn": OTHERS_ROLE, "external_id": None, "role_session_name": "jane"},
        aws=REFUSED,
    ),
    "with an MFA device": Case(
        "AssumeRole!: MFA ruled out: given with arn:aws:iam::222222222222:mfa/my-user.",
        profile={"mfa_serial": MFA_SERIAL},
        aws={**REFUSED, "mfa_code": "123456"},
    ),
    "a wrong MFA code": Case(
        "AssumeRole!: Account B: the MFA code is wrong or was used before, or mfa_serial", aws={"mfa_code": "123456"}
    ),
    "own policies that deny it": Case(
        """AssumeRole!: identity policy found: account B's policies give explicitDeny.
        AssumeRole!: Account B: the caller's policy must allow sts:AssumeRole on""",
        aws={**REFUSED, "simulation": ("explicitDeny", [])},
    ),
    "own policies that depend": Case(
        "AssumeRole!: identity policy possible: it depends on aws:SourceIp, aws:SourceVpc. Account B",
        aws={**REFUSED, "simulation": ("implicitDeny", ["aws:SourceIp", "aws:SourceVpc"])},
    ),
    "a role that IAM shows": Case(
        """AssumeRole!: MFA ruled out: only IAM users are asked for it.
        AssumeRole!: CallerPrincipalArns must match arn:aws:iam::222222222222:role/team/dev.
        AssumeRole!: identity policy ruled out: account B's policies allow it.""",
        aws={
            **REFUSED,
            "arn": f"{SESSION}/dev/run-1",
            "principal": f"{ROLE}/team/dev",
            "shows_roles": True,
            "simulation": ("allowed", []),
        },
    ),
    "a role whose path is not known": Case(
        """AssumeRole!: must match arn:aws:iam::222222222222:role/*/dev.
        AssumeRole!: identity policy possible
        AssumeRole!: ApiAccessPolicy does (ApiRoleNames)""",
        aws={**REFUSED, "arn": f"{SESSION}/dev/1", "principal": f"{ROLE}/team/dev", "simulation": ("allowed", [])},
    ),
    "a role without a path": Case(
        """AssumeRole!: must match arn:aws:iam::222222222222:role/*/dev.
        AssumeRole!: identity policy ruled out""",
        aws={**REFUSED, "arn": f"{SESSION}/dev/1", "principal": f"{ROLE}/dev", "simulation": ("allowed", [])},
    ),
    "a person of Identity Center": Case(
        """AssumeRole!: must match arn:aws:iam::222222222222:role/aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_Dev_0.
        AssumeRole!: ApiAccessPolicy does (its permission set must name the policy).""",
        aws={**REFUSED, "arn": f"{SESSION}/{SSO_ROLE}/jane@example.org"},
    ),
    "a policy that STS names": Case(
        """AssumeRole!: because no role trust policy allows
        AssumeRole!: Account A: the role's trust policy does not allow""",
        aws={"failure": (403, "AccessDenied", f"{ASSUME} because no role trust policy allows the action")},
    ),
    "session tags": Case(
        """AssumeRole!: Account A: the role's trust policy must allow sts:TagSession.
        AssumeRole!: Account B: the caller's policy must allow sts:TagSession on it as well.
        AssumeRole!: Account B: or send no session tags (GitHub's action: role-skip-session-tagging: true""",
        aws={"failure": (403, "AccessDenied", ASSUME.replace("AssumeRole", "TagSession"))},
    ),
    # Where the call goes
    "no URL": Case(
        """AssumeRole: ok
        URL!: --api-url is empty.
        URL!: account A's output ApiUrl
        URL!: Set --api-url or $API_URL, or write a profile with call-api configure.
        region: there is no URL
        stage: no connection
        path: not tried | no API to call""",
        env={"API_URL": ""},
    ),
    "another service": Case(
        "URL!: Set --service or $API_SERVICE, or api_service in the profile.", options=["--service", "appsync"]
    ),
    "no region": Case(
        "region!: | the API's region | Set --region or $API_REGION",
        profile={"region": None},
        env={"AWS_REGION": ""},
        options=["--api-url", "https://api.example/v1"],
    ),
    "another region": Case(
        """region!: eu-north-1, but the API is in eu-west-1 | eu-west-1 |
        region!: Account B: --region, $API_REGION and api_region must be the API's region.
        signature!:""",
        options=["--region", "eu-north-1"],
    ),
    "one's own region": Case(
        "region: eu-west-1, your own: the URL names none; account A's output ApiRegion must be the same",
        options=["--api-url", "https://orders.example.org/shop"],
    ),
    "no address": Case(
        """DNS!: : Name or service not known | an address |
        DNS!: A private API's name has an address only in a VPC
        DNS!: Account B: check the host in the API's URL, and DNS. Account A: check that the API exists.
        TLS: the host has no address""",
        address="",
    ),
    "a proxy": Case("DNS: left to the proxy proxy.example |", env={"HTTPS_PROXY": "http://proxy.example:3128"}),
    "an odd proxy": Case("DNS: left to the proxy of HTTPS_PROXY", env={"HTTPS_PROXY": "http://[::1"}),
    "this machine": Case("TLS: not used on this machine", options=["--api-url", "http://localhost:3000/v1"]),
    "a CA of the profile": Case("TLS: trusted, by /profile.pem |", profile={"ca_bundle": "/profile.pem"}),
    "a CA for AWS": Case(
        "TLS: the certificate is trusted, by /aws.pem |",
        env={"AWS_CA_BUNDLE": "/aws.pem", "REQUESTS_CA_BUNDLE": "/requests.pem"},
    ),
    "no connection": Case(
        """TLS!: a connection to the API, with a trusted certificate
        TLS!: Account B: check the API's URL, and whether this network lets it out.
        stage: no connection""",
        api={"stranger": unreachable()},
    ),
    "an endpoint's address": Case(
        """DNS: is 10.0.3.7, in a private network
        TLS!: Account B: this is the address of a VPC endpoint: call from its network, and let the endpoint's se""",
        api={"stranger": unreachable()},
        options=["--api-url", ENDPOINT],
        address="10.0.3.7",
    ),
    "an endpoint with another certificate": Case(
        """DNS: in a private network
        TLS!: Account B: if something on the network intercepts TLS""",
        api={"stranger": CertificateError("self-signed")},
        address="fd00::7%eth0",
    ),
    # What the API says
    "a throttle": Case("stage: refused with 429", api={"stranger": json_reply(429, {})}),
    "an open API": Case(
        """stage!: an unsigned request is answered with 200
        stage!: an API that refuses an unsigned request
        stage!: Account A: the API is open to everybody; its methods must have the authorizer AWS_IAM.""",
        api={"stranger": json_reply(200, {})},
    ),
    "an open path that nobody chose": Case(
        f"stage?: answered with 200 | {GIVE_A_PATH}", api={"stranger": json_reply(200, {})}, chosen=False
    ),
    "another authorizer": Case(
        "stage!: Account A: the method has another authorizer; for signed calls it must be AWS_IAM.",
        api={"stranger": json_reply(401, {"message": "Unauthorized"})},
    ),
    "a redirect": Case("stage!: redirects are never followed", api={"stranger": Reply(302)}),
    "no API": Case(
        "stage!: Account B: the API's URL must be account A's output ApiUrl.",
        api={"stranger": Reply(404, b"not here")},
    ),
    "no stage": Case(
        "stage!: Account B: check the host and the stage in the API's URL.",
        api={"stranger": refusal("ForbiddenException", "Forbidden")},
    ),
    "Challenge": Case("stage!: Account A: .*AWS WAF", api={"stranger": CHALLENGE}),
    "a challenge where nobody chose": Case("path!: Account A: .*AWS WAF", api={"rest": CHALLENGE}, chosen=False),
    "an HTTP API": Case(
        """URL: (no stage: right for an HTTP API's $default, wrong for a REST API)
        stage: an unsigned request is refused by an HTTP API with 403 |
        signature: ok""",
        api={"stranger": HTTP_API},
        options=["--api-url", API_URL.removesuffix("/v1")],
    ),
    "an HTTP API that refuses": Case(
        """signature: not tried | an HTTP API does not tell a wrong one from a missing permission
        permission!: An HTTP API gives no reason. Account A: the role's policy must allow this route.
        backend: the permission comes first""",
        api={"stranger": HTTP_API, "rest": json_reply(403, {"message": "Forbidden"}, apigw_requestid="B2=")},
    ),
    "an HTTP API without the route": Case(
        """stage: an HTTP API
        path!:
        signature: the path comes first""",
        api={"stranger": json_reply(404, {"message": "Not Found"}, apigw_requestid="B1="), "rest": HTTP_API},
    ),
    "an HTTP API that serves what strangers do not find": Case(
        "stage: an HTTP API",
        api={"stranger": json_reply(404, {"message": "Not Found"}, apigw_requestid="B1=")},
    ),
    "a path that the stage lacks": Case(
        """path!: Missing Authentication Token
        path!: a method and path that the stage has
        path!: Account B: the API's stage has no such method and path.
        signature: not tried | the path comes first""",
        api={"rest": refusal("MissingAuthenticationTokenException", "Missing Authentication Token")},
    ),
    "another signature": Case(
        """signature!: does not match
        signature!: Account B: check the API's region, the secret access key, and whether something in between""",
        api={"rest": refusal("InvalidSignatureException", "The request signature we calculated does not match")},
    ),
    "an expired session": Case("signature!:", api={"rest": refusal("ExpiredTokenException")}),
    "a cut signature": Case("signature!:", api={"rest": refusal("IncompleteSignatureException")}),
    "a route that is not granted": Case(
        """path: ok
        signature: ok
        permission!: execute-api:Invoke
        permission!: no policy that denies this call, and one that allows it
        permission!: Account A: the executor role's policy lacks this method and path.
        permission!: Account B: or the URL is not account A's output ApiUrl. API a1b2c3d4e5, stage v1 in eu-west""",
        api={"rest": refusal("AccessDeniedException", f"{INVOKE} because no identity-based policy allows it")},
    ),
    "a route that is not granted where nobody chose": Case(
        """permission?: is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:eu-west-1:
        backend: the permission comes first""",
        api={"rest": refusal("AccessDeniedException", INVOKE)},
        chosen=False,
    ),
    "a denial where nobody chose": Case(
        "permission!:",
        api={"rest": refusal("AccessDeniedException", f"{INVOKE} with an explicit deny in a service control policy")},
        chosen=False,
    ),
    "a denial of somebody else where nobody chose": Case(
        "permission!: Account B: arn:aws:iam::222222222222:user/staff/my-user is not the executor role: assume",
        api={"rest": refusal("AccessDeniedException", INVOKE.replace(EXECUTOR, USER))},
        chosen=False,
    ),
    "no such path where nobody chose": Case(
        f"path?: {GIVE_A_PATH}", api={"rest": refusal("MissingAuthenticationTokenException")}, chosen=False
    ),
    "a wrong signature where nobody chose": Case(
        "signature!:", api={"rest": refusal("InvalidSignatureException")}, chosen=False
    ),
    "no such resource": Case(
        """backend!: The API answered 404
        backend!: | 2xx |
        backend!: Account B: check the path and the ids in it.""",
        api={"rest": json_reply(404, {"error": {"code": "no_route"}})},
    ),
    "no such resource where nobody chose": Case(
        "backend: ok | 404 in", api={"rest": json_reply(404, {"error": {"code": "no_route"}})}, chosen=False
    ),
    "a throttle where nobody chose": Case("backend!:", api={"rest": Reply(429)}, chosen=False),
    "a backend that refuses": Case(
        "backend!:", api={"rest": json_reply(403, {"error": {"code": "forbidden"}})}, chosen=False
    ),
    "a backend that fails": Case(
        """backend!: The API answered 502 Internal server error
        backend!: Account A: find the request id""",
        api={"rest": json_reply(502, {"message": "Internal server error"})},
    ),
    "a backend that cuts off": Case("backend!: No complete response", api={"rest": unreachable()}, chosen=False),
    "an API key that is none": Case("backend!: api_key is 5 characters.", options=["--api-key", "short"]),
}


@pytest.mark.parametrize("name", CASES)
def test_situation(name: str, aws: FakeAws, api: GuardedApi, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    config.write_text(config_text(case.profile))
    for stand_in, changes in ((aws, case.aws), (api, case.api)):
        for attribute, value in changes.items():
            setattr(stand_in, attribute, value)
    for variable, text in case.env.items():
        monkeypatch.setenv(variable, text)

    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (case.address, 443))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found if case.address else no_address())
    # botocore has its prompter as the default of an argument.
    given = AssumeRoleProvider.__init__.__defaults__ or ()
    defaults = tuple((lambda _: "123456") if value is getpass.getpass else value for value in given)
    monkeypatch.setattr(AssumeRoleProvider.__init__, "__defaults__", defaults)

    report = examine(*(["/orders"] if case.chosen else []), *case.options, profile=case.name)

    failed, warned = case.having("!"), case.having("?")
    assert (report.having("failed"), report.having("warning")) == (failed, warned)
    assert (report.exit_code, report.healthy) == (int(bool(failed)), not failed)
    assert failed or warned or {step for step, _, _ in case.lines()} >= set(report.having("not tried"))
    for step, _, words in case.lines():
        assert words in report.text(step) or re.search(words, report.text(step)), report.text(step)
    assert report.next == next((report.steps[step]["remedy"] for step in [*failed, *warned]), "")


def no_address() -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_the_path_is_that_of_the_argument_else_of_the_profile_else_the_root(api: GuardedApi, config: Path) -> None:
    config.write_text(config_text({"api_key": "a1b2c3d4e5f6g7h8i9j0"}))
    examine()
    config.write_text(config_text({"api_path": "/whoami"}))
    examine()
    examine("/orders")

    assert [request.url.removeprefix(API_URL) for request in api.requests] == ["/", "/whoami", "/orders"]
    assert {request.method for request in api.requests} == {"GET"}
    assert [request.headers.get("X-Api-Key") for request in api.requests] == ["a1b2c3d4e5f6g7h8i9j0", None, None]


# --- The sentences of AWS, by type of policy --------------------------------------------------------------------------

API_SENTENCES = {
    "because no identity-based policy allows": (
        "Account A: the executor role's policy lacks this method and path.",
        " API a1b2c3d4e5, stage v1 in eu-west-1 was called.",
    ),
    "with an explicit deny in an identity-based policy": (
        "Account A: a policy of the executor role denies",
        "suspends a consumer or revokes its sessions",
    ),
    "because no permissions boundary allows": (
        "Account A: the permissions boundary of the executor role does not allow",
    ),
    "with an explicit deny in a sessions policy": (
        "Account B: the session policy that the session was created with denies",
    ),
    "with an explicit deny in a service control policy: arn:aws:organizations::999999999999:policy/o-1/p-1": (
        "Account A: a service control policy (SCP) of its organization denies",
    ),
    "because no resource control policy allows": (
        "Account A: no resource control policy (RCP) of its organization allows",
    ),
    "because no VPC endpoint policy allows": (
        "Account B: the policy of the VPC endpoint that the request went through does not allow",
    ),
    "with an explicit deny in a resource-based policy": ("Account A: the API's resource policy denies", "suspended"),
    "with an explicit deny": (
        "Account A: a policy denies it, probably the API's resource policy.",
        "call with a session of the executor role",
    ),
    "": ("Account A: the executor role's policy lacks this method and path.",),
}
STS_SENTENCES = {
    "with an explicit deny in the role trust policy": ("Account A: the role's trust policy denies",),
    "because no resource-based policy allows": ("Account A: the role's trust policy does not allow",),
    "because no identity-based policy allows": (
        f"Account B: no policy of the caller allows sts:AssumeRole on {EXECUTOR_ROLE_ARN}. ApiAccessPolicy of temp",
        "Or the ARN is wrong",
    ),
    "with an explicit deny in a permissions boundary": ("Account B: the permissions boundary of the caller denies",),
    "because no service control policy allows": ("Account B: no service control policy (SCP)",),
    "with an explicit deny in a resource control policy": ("Account A: a resource control policy (RCP)",),
}


OTHER_SENTENCES = {
    f"{INVOKE.replace(EXECUTOR, TASK)} because no identity-based policy allows the action": (
        f"Account B: {TASK} is not the executor role: assume account A's output",
        "Without a role, the",
    ),
    f"{INVOKE.replace(EXECUTOR, USER)} with an explicit deny in a resource-based policy": (
        f"Account B: {USER} is not the executor role: assume account A's output",
    ),
    f"{INVOKE.replace(EXECUTOR, USER)} with an explicit deny in a service control policy": (
        "Account B: a service control policy (SCP) of its organization denies",
        "assume account A's output",
    ),
    f"User: {TASK} is not authorized to perform: execute-api:Invoke because no identity-based policy allows it": (
        "Account B: unless 222222222222 is the API's account, assume account A's output",
        "Account A: the executor",
    ),
    ASSUME.replace("AssumeRole", "SetSourceIdentity"): (
        "Account A: the role's trust policy must allow sts:SetSourceIdentity. Account B: the caller",
    ),
    INVOKE.replace(EXECUTOR, "anonymous"): ("Account A: the method does not read signatures",),
    "User is not authorized to access this resource": ("Account A: a Lambda authorizer refuses it",),
    "no": ("Account A: the executor role's policy lacks",),
}


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        *((f"{INVOKE} {reason}", words) for reason, words in API_SENTENCES.items()),
        *((f"{ASSUME} {reason}", words) for reason, words in STS_SENTENCES.items()),
        *OTHER_SENTENCES.items(),
    ],
)
def test_a_sentence_of_aws_has_an_owner(sentence: str, words: Sequence[str]) -> None:
    of_sts = AssumeRoleError(EXECUTOR_ROLE_ARN, "AccessDenied", sentence)
    of_api = ForbiddenError(403, code="AccessDeniedException", detail=sentence)

    remedy = find_remedy(of_sts if "perform: sts:" in sentence else of_api)

    assert all(word in remedy for word in words), remedy
    assert remedy.startswith(words[0])


# --- What takes more than one run, or another world ---------------------------------------------------------


def test_the_session_in_the_cache_is_judged_first(api: GuardedApi, aws: FakeAws, config: Path) -> None:
    examine("/orders")
    assert examine("/orders").steps["AssumeRole"]["observed"] == "a session from ~/.aws/cli/cache"
    [file] = (config.parent / ".aws/cli/cache").iterdir()
    cached = file.read_text()
    token = json.loads(cached)["Credentials"]["SessionToken"]
    revoked = refusal("AccessDeniedException", f"{INVOKE} with an explicit deny in an identity-based policy")

    def answer(request: Request) -> Reply:
        return revoked if request.headers["x-amz-security-token"] == token else json_reply(200, {})

    api.answer = answer
    report = examine("/orders")

    assert (report.exit_code, report.having("warning"), report.having("failed")) == (0, ["AssumeRole"], [])
    assert "the cached session is refused, a new one is accepted: The API answered 403" in report.text("AssumeRole")
    assert report.next == "call-api replaces the session with the next call. Other tools: delete ~/.aws/cli/cache."
    assert file.read_text() == cached, "doctor changes nothing"

    aws.failure = (403, "AccessDenied", f"{ASSUME} because no role trust policy allows the sts:AssumeRole action")
    report = examine("/orders")

    assert report.having("failed") == ["AssumeRole", "permission"]
    assert "the cached session is refused, and there is no new one: No credentials from profile orders" in report.text(
        "AssumeRole"
    )
    assert report.next.startswith("Account A: the role's trust policy does not allow")

    aws.failure = None
    api.answer = lambda _: revoked

    assert examine("/orders").having("failed") == ["permission"]


# --- How it is shown --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("charset", "sign"), [("utf-8", "✓"), ("cp1252", "ok")])
def test_a_person_sees_a_table_with_one_next_step(aws: FakeAws, api: GuardedApi, charset: str, sign: str) -> None:
    healthy = run("doctor", "/orders", "--profile", "orders", charset=charset)
    api.stranger = json_reply(200, {})
    warned = run("doctor", "--profile", "orders", charset=charset)
    aws.failure = (403, "AccessDenied", ASSUME)
    sick = run("doctor", "/orders", "--profile", "me", "--role-arn", OTHERS_ROLE, charset=charset)

    assert (healthy.exit_code, healthy.stdout.rstrip().rpartition("\n")[2]) == (0, "All is well.")
    assert f"{sign} profile" in healthy.stdout
    assert (warned.exit_code, warned.stdout.rstrip().rpartition("\n")[2]) == (0, f"Nothing failed. Next: {GIVE_A_PATH}")
    assert sick.exit_code == 1
    assert re.search("  identity policy +possible:", sick.stdout)
    assert re.search("  expected +a session of the role", sick.stdout)
    assert "\nNext: STS does not say which of these it is. The likeliest: Account B: unless account A's" in sick.stdout
    assert sick.stdout.rstrip().count("\n") == sick.stdout.partition("\nNext")[0].count("\n") + 1, "one line to copy"


@pytest.mark.parametrize(
    ("path", "words"), [("orders", "path is 'orders'"), ("C:/Git/orders", "Git Bash makes a Windows path")]
)
def test_an_invalid_path_is_refused(path: str, words: str) -> None:
    result = run("doctor", path)

    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
