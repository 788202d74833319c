"""The way of a call, step by step: what each step shows, what it should show, and which account mends it.

Nothing is changed on the way: STS is asked who the caller is and for a session, IAM to simulate, and the API gets GET.
"""

import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import cached_property, partial
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import urllib3
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError

from call_api.causes import Caller, Cause, advise, find_causes
from call_api.profile import read_profile
from caller.settings import ROLE_ARN, SESSION_NAME, find_api_region, parse_api_url
from cross_account_api.call import Call
from cross_account_api.client import Client, Tally
from cross_account_api.credentials import assume_role_error, describe_profile
from cross_account_api.errors import (
    ApiError,
    AssumeRoleError,
    CallError,
    ConnectionFailedError,
    ExpiredSessionError,
    ForbiddenError,
    RedirectError,
    ServerError,
    SettingsError,
    ThrottledError,
)
from cross_account_api.response import Answer, read_answer
from cross_account_api.transport import Connections, Request, Transport, find_proxy

_CLOCK_SECONDS = 300
"""How far a signature's time may be from AWS's own."""

_PROBE_TIMEOUT = urllib3.Timeout(connect=10.0, read=10.0)
_CALL_SECONDS = 20.0
_STS_CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
_CONFIGURE = "call-api configure writes a profile."

_CALL_STEPS = {
    "path": "a method and path that the stage has",
    "signature": "a signature that API Gateway computes as well",
    "resource policy": "no Deny for sessions of the executor role",
    "role policy": "an Allow for this method and path",
    "backend": "2xx",
}
"""What one signed request shows, in the order in which AWS looks at it, and what is expected."""


class Verdict(StrEnum):
    """How a step went."""

    OK = "ok"
    FAILED = "failed"
    NOT_TRIED = "not tried"


@dataclass(frozen=True)
class Finding:
    """What one step showed.

    Attributes:
        step: Its name.
        verdict: How it went.
        saw: What it showed; why it was not tried.
        expected: What it should have shown; empty unless it failed.
        mend: Which account can mend it, and how; empty unless it failed.
        causes: What may be behind it, where AWS does not say.
    """

    step: str
    verdict: Verdict
    saw: str
    expected: str = ""
    mend: str = ""
    causes: tuple[Cause, ...] = ()


class _FailedError(Exception):
    def __init__(self, saw: str, expected: str, mend: str, causes: tuple[Cause, ...] = ()) -> None:
        super().__init__(saw)
        self.finding = (saw, expected, mend, causes)


class _NotTriedError(Exception):
    """Something that a step needs went wrong before."""


@dataclass(frozen=True)
class _Identity:
    """What STS said to the question who asks."""

    caller: Caller | None
    failure: AssumeRoleError | None
    date: str


@dataclass(frozen=True)
class _Session:
    credentials: ReadOnlyCredentials

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self.credentials

    def refresh(self, refused: ReadOnlyCredentials, *, expired: bool) -> bool:
        del refused, expired
        return False


class Diagnosis:
    """Goes the way of one GET.

    Args:
        profile: A profile of the AWS configuration; None for the default chain.
        api_url: The API's address; empty for the profile's `api_url`.
        region: The region to sign for; empty for the profile's `api_region`, else the URL's, else the profile's own.
        path: The path to GET.

    Raises:
        InvalidCallError: The path is none.
    """

    def __init__(self, profile: str | None, api_url: str = "", region: str = "", path: str = "/whoami") -> None:
        self._name = profile
        self._given_url = api_url
        self._given_region = region
        self._call = Call.parse({"path": path})
        self._profile: Mapping[str, str] = {}
        self._session: botocore.session.Session | None = None
        self._credentials: Credentials | None = None
        self._executor: ReadOnlyCredentials | None = None
        self._url = ""
        self._region = ""
        self._transport: Transport | None = None
        self._knocked: Answer | CallError | None = None
        self._has_stage = False

    def walk(self) -> Iterator[Finding]:
        """Take every step that can be taken.

        Yields:
            What each step showed, in the order of the way.
        """
        steps: dict[str, Callable[[], str]] = {
            "profile": self._read_profile,
            "clock": self._compare_clocks,
            "credentials": self._name_caller,
            "account": self._compare_accounts,
            "role ARN": self._check_role_arn,
            "session name": self._check_session_name,
            "AssumeRole": self._assume_role,
            "URL": self._check_url,
            "region": self._find_region,
            "DNS": self._resolve,
            "TLS": self._connect,
            "stage": self._judge_stage,
            **{name: partial(self._judge_call, name) for name in _CALL_STEPS},
        }
        for name, step in steps.items():
            try:
                yield Finding(name, Verdict.OK, step())
            except _FailedError as error:
                yield Finding(name, Verdict.FAILED, *error.finding)
            except _NotTriedError as error:
                yield Finding(name, Verdict.NOT_TRIED, str(error))

    # --- Who calls: account B -----------------------------------------------------------------------------------------

    def _read_profile(self) -> str:
        shown = self._name or os.environ.get("AWS_PROFILE") or "default"
        expected = "a profile that leads to the executor role"
        try:
            profile = read_profile(self._name)
            session = botocore.session.Session(profile=self._name)
            credentials = session.get_credentials()
        except AssumeRoleError as error:
            raise _FailedError(error.saw, expected, f"{error.mend} {_CONFIGURE}") from error
        except BotoCoreError as error:
            mend = f"Account B: correct the profile. {_CONFIGURE}"
            raise _FailedError(f"{type(error).__name__}: {error}", expected, mend) from error
        if credentials and profile.get("role_arn") and credentials.method == "env":
            raise _FailedError(
                f"AWS_ACCESS_KEY_ID is set and comes before the role of profile {shown}",
                expected,
                "Account B: unset AWS_ACCESS_KEY_ID, or name the profile with --profile.",
            )
        self._profile = profile
        self._session = session
        self._credentials = credentials
        names = ("source_profile", "credential_source", "mfa_serial")
        settings = [f"{name} {profile[name]}" for name in names if profile.get(name)]
        settings += [f"with {name}" for name in ("role_arn", "external_id") if profile.get(name)]
        return f"{shown}: {', '.join(settings) or 'credentials without a role'}"

    @cached_property
    def _identity(self) -> _Identity:
        if not self._session:
            raise _NotTriedError("no profile to ask with")
        source = self._name
        if self._profile.get("role_arn"):
            source = self._profile.get("source_profile")
            if not source or source == self._name:
                raise _NotTriedError("whose they are shows only once they are used for AssumeRole")
        session = botocore.session.Session(profile=source)
        response: dict[str, Any] = {}
        caller = failure = None
        shown = describe_profile(source)
        try:
            sts: Any = session.create_client("sts", config=_STS_CONFIG)
            response = sts.get_caller_identity()
            caller = Caller(response["Arn"], response["Account"], session)
        except (BotoCoreError, ClientError) as error:
            response = getattr(error, "response", {})
            failure = assume_role_error(shown, error)
        date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
        return _Identity(caller, failure, date)

    @property
    def _caller(self) -> Caller:
        if not self._identity.caller:
            raise _NotTriedError("the credentials are of no use")
        return self._identity.caller

    def _compare_clocks(self) -> str:
        if not self._identity.date:
            raise _NotTriedError("STS did not answer")
        ahead = (datetime.now(UTC) - parsedate_to_datetime(self._identity.date)).total_seconds()
        saw = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} STS"
        if abs(ahead) > _CLOCK_SECONDS:
            raise _FailedError(saw, f"at most {_CLOCK_SECONDS} s", "Account B: set the clock.")
        return saw

    def _name_caller(self) -> str:
        if failure := self._identity.failure:
            raise _FailedError(failure.saw, "credentials that STS knows", failure.mend)
        return self._caller.arn

    def _compare_accounts(self) -> str:
        caller = self._caller
        expected = "an IAM user or role of a consumer account"
        if caller.arn.endswith(":root"):
            raise _FailedError(
                f"the root user of {caller.account}",
                expected,
                "Account B: use an IAM user or a role; the root user can assume none.",
            )
        role_arn = self._profile.get("role_arn", "")
        if role_arn.split(":")[4:5] == [caller.account]:
            raise _FailedError(
                f"{caller.account}, which owns the role as well",
                expected,
                "Account B: source_profile must have credentials of account B, role_arn the role of account A.",
            )
        return caller.account

    def _check_role_arn(self) -> str:
        if not self._session:
            raise _NotTriedError("no profile to read it from")
        expected = "account A's output ExecutorRoleArn: arn:aws:iam::<account A>:role/<name>"
        role_arn = self._profile.get("role_arn", "")
        if role_arn:
            if not ROLE_ARN.fullmatch(role_arn):
                raise _FailedError(role_arn, expected, "Account B: set role_arn to account A's output ExecutorRoleArn.")
            return role_arn
        if self._caller.session_name:
            return f"none needed, the credentials are a session of {self._caller.principal}"
        raise _FailedError("the profile has no role_arn", expected, f"Account B: set role_arn. {_CONFIGURE}")

    def _check_session_name(self) -> str:
        if not self._session:
            raise _NotTriedError("no profile to read it from")
        if self._profile.get("role_arn"):
            name, start = self._profile.get("role_session_name", ""), f"{self._caller.account}-"
        elif not (name := self._caller.session_name):
            raise _NotTriedError("there is no role_arn")
        else:
            start = ""
        if not (
            name.startswith(start) and SESSION_NAME.fullmatch(name) and name[:12].isdecimal() and name[12:13] == "-"
        ):
            raise _FailedError(
                name or "the profile has no role_session_name",
                f"{start or '<account id>-'}<name>, at most 64 letters, digits or _+=,.@-",
                f"Account B: set role_session_name; account A knows the consumer by it. {_CONFIGURE}",
            )
        return name

    def _assume_role(self) -> str:
        if not self._credentials:
            raise _NotTriedError("no credentials to do it with")
        role_arn = self._profile.get("role_arn", "")
        if not role_arn and not self._caller.session_name:
            raise _NotTriedError("there is no role_arn")
        with_source = self._profile.get("source_profile") not in (None, self._name)
        caller = self._caller if with_source or not role_arn else None
        expected = "a session of the role"
        try:
            self._executor = self._credentials.get_frozen_credentials()
        except (BotoCoreError, ClientError) as error:
            failure = assume_role_error(role_arn, error)
            causes: tuple[Cause, ...] = ()
            if caller and failure.code == "AccessDenied" and "MultiFactorAuthentication" not in str(error):
                causes = find_causes(caller, self._profile, str(error))
            raise _FailedError(failure.saw, expected, advise(causes) or failure.mend, causes) from error
        except EOFError as error:
            mend = "Account B: run it in a terminal and type the code of your MFA device."
            raise _FailedError("no MFA code was given", expected, mend) from error
        return "a session of the role" if role_arn else "not needed"

    # --- Where the call goes ------------------------------------------------------------------------------------------

    def _check_url(self) -> str:
        try:
            url = parse_api_url(self._given_url or self._profile.get("api_url", ""))
        except SettingsError as error:
            raise _FailedError(error.saw, "account A's output ApiUrl", error.mend) from error
        if ".execute-api." in url and not urlsplit(url).path:
            raise _FailedError(
                f"{url} has no stage",
                "account A's output ApiUrl, which ends with the stage",
                "Account B: add the stage to API_URL.",
            )
        self._url = url
        return url

    def _find_region(self) -> str:
        url = self._require_url()
        given = self._given_region or self._profile.get("api_region", "")
        own = self._session.get_config_variable("region") if self._session else None
        try:
            region = find_api_region(url, given, own or "")
            of_url = find_api_region(url, "", region)
        except SettingsError as error:
            raise _FailedError(error.saw, "the API's region", error.mend) from error
        if region != of_url:
            raise _FailedError(
                f"{region}, but the API is in {of_url}", of_url, "Account B: API_REGION must be the API's region."
            )
        self._region = region
        return region

    def _resolve(self) -> str:
        url = urlsplit(self._require_url())
        if proxy := find_proxy(self._url):
            return f"left to the proxy {urlsplit(proxy).hostname}"
        try:
            found = socket.getaddrinfo(url.hostname, url.port or url.scheme, type=socket.SOCK_STREAM)
        except OSError as error:
            raise _FailedError(
                f"{url.hostname}: {error.strerror or error}",
                "an address",
                "Account B: check the host in API_URL, and DNS. "
                "Account A: check that the API is there, and whether it is private.",
            ) from error
        return f"{url.hostname} is {', '.join(sorted({str(address[0]) for *_, address in found}))}"

    def _connect(self) -> str:
        url = self._require_url()
        ca_bundle = (self._session.get_config_variable("ca_bundle") if self._session else None) or ""
        expected = "a connection to the API, by a trusted certificate"
        try:
            self._transport = Connections(url, 1, ca_bundle)
            request = Request(self._call.method, url + self._call.target)
            with self._transport.send(request, _PROBE_TIMEOUT) as response:
                self._knocked = read_answer(response, 1)
        except ApiError as error:
            self._knocked = error
        except SettingsError as error:
            raise _FailedError(error.saw, expected, error.mend) from error
        except CallError as error:
            self._knocked = error
        except urllib3.exceptions.SSLError as error:
            raise _FailedError(
                _first_reason(error),
                expected,
                "Account B: AWS_CA_BUNDLE or the profile's ca_bundle must hold the CA of the certificate, which is "
                "somebody else's if something on the way intercepts TLS. Account A: check the certificate of a custom "
                "domain.",
            ) from error
        except urllib3.exceptions.HTTPError as error:
            failure = ConnectionFailedError(_first_reason(error))
            raise _FailedError(failure.saw, expected, failure.mend) from error
        if url.startswith("http:"):
            return "not used on the way to this machine"
        return f"the certificate is trusted, by {ca_bundle or 'the public certificate authorities'}"

    def _judge_stage(self) -> str:
        """Tell by the answer to an unsigned request whether there is an API that is closed to strangers."""
        expected = "an API that refuses an unsigned request"
        match self._knocked:
            case None:
                raise _NotTriedError("no connection")
            case Answer(status=status):
                self._has_stage = True
                raise _FailedError(
                    f"an unsigned request is answered with {status}",
                    expected,
                    "Account A: the API is open to everybody; its methods must have the authorizer AWS_IAM.",
                )
            case ForbiddenError(code="ForbiddenException") | RedirectError() as error:
                raise _FailedError(error.saw, expected, error.mend)
            case ForbiddenError() | ThrottledError() | ServerError() as error:
                self._has_stage = True
                return f"an unsigned request is refused with {error.status} {error.code}".rstrip()
        raise _FailedError(self._knocked.saw, expected, "Account B: API_URL must be account A's output ApiUrl.")

    # --- What the API says --------------------------------------------------------------------------------------------

    @cached_property
    def _outcome(self) -> tuple[Answer | CallError, float]:
        """Return how the signed call ended, and after how many seconds."""
        if not self._executor:
            raise _NotTriedError("no session to sign with")
        if not (self._has_stage and self._region and self._transport):
            raise _NotTriedError("nowhere to send it to")
        client = Client(self._url, self._region, _Session(self._executor), self._transport)
        tally = Tally()
        start = monotonic()
        outcome: Answer | CallError
        try:
            outcome = client.send(self._call, start + _CALL_SECONDS, tally=tally)
        except CallError as error:
            outcome = tally.failure or error
        return outcome, monotonic() - start

    def _judge_call(self, step: str) -> str:
        outcome, seconds = self._outcome
        steps = list(_CALL_STEPS)
        if isinstance(outcome, CallError):
            failed = _step_of(outcome)
            if step == failed:
                raise _FailedError(outcome.saw, _CALL_STEPS[step], outcome.mend)
            if steps.index(step) > steps.index(failed):
                raise _NotTriedError(f"the {failed} comes first")
        return {
            "path": f"GET {self._call.path}",
            "signature": f"accepted for {self._region}",
            "resource policy": "denies nothing to this session",
            "role policy": f"grants GET {self._call.path}",
            "backend": f"{outcome.status if isinstance(outcome, Answer) else ''} in {seconds:.2f} s",
        }[step]

    def _require_url(self) -> str:
        if not self._url:
            raise _NotTriedError("there is no URL")
        return self._url


def _step_of(error: CallError) -> str:
    match error:
        case ExpiredSessionError():
            return "signature"
        case ForbiddenError(code="MissingAuthenticationTokenException" | "ForbiddenException"):
            return "path"
        case ForbiddenError(code="InvalidSignatureException" | "IncompleteSignatureException"):
            return "signature"
        case ForbiddenError(code="AccessDeniedException", detail=text) if "explicit deny" in text:
            return "role policy" if "identity-based policy" in text else "resource policy"
        case ForbiddenError(code="AccessDeniedException"):
            return "role policy"
    return "backend"


def _first_reason(error: BaseException) -> str:
    """Return what the system said first; what was made of that later names the URL with its query."""
    while error.__context__:
        error = error.__context__
    return (
        error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else f"{type(error).__name__}: {error}"
    )
