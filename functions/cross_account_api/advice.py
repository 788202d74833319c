"""How to fix an error, as whole sentences that name the account that can do it.

They mention no template, parameter or command. An application that has these replaces sentences through
`CallError.reword`; names in braces are filled in either way.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum


class Advice(StrEnum):
    """What depends on more than a code and a message. An application may say these in its own words."""

    NO_CREDENTIALS = "Account B: set AWS_PROFILE, or give credentials in another way."
    NO_PROFILE = "Account B: name a profile of your AWS configuration."
    UNDECIDED = (
        "STS did not say which side refused. Account B: compare the role's ARN with the one that account A gave you; "
        "allow {action} on exactly this role. "
        "Account A: check the trust policy's account, ExternalId, session name, principal and MFA."
    )
    NOT_ALLOWED = (
        "Account B: attach a policy that does. Or the ARN is wrong: compare it with the one that account A gave you."
    )
    LACKING = (
        "Account A: the executor role's policy lacks this method and path. "
        "Account B: or the URL is not the one that account A gave you."
    )
    GUARDED = (
        "It may do so while the consumer is suspended, to roles that it does not know and, if the API is private, to "
        "requests outside its endpoints. Account B: call with a session of the executor role."
    )
    CALLED = "API {api}, stage {stage} in {region} was called."
    DENIED = "Account A: a policy denies it, probably the API's resource policy."
    UNSIGNED = "Account A: the method does not read signatures; its authorizer must be AWS_IAM."
    OTHER_ROLE = "Account B: {principal} is not the executor role: assume that."
    OWN_ACCOUNT = "Account B: unless {owner} is the API's account, assume the executor role."
    WITHOUT_ROLE = "Without a role, the caller's policy and the API's resource policy must both allow it."
    TRUST = "Account A: the role's trust policy must allow {action}."
    OWN_POLICY = "Account B: the caller's policy must allow {action} on it as well."
    SESSION_TAGS = (
        "Account B: or send no session tags (GitHub's action: role-skip-session-tagging: true; EKS Pod Identity: "
        "disableSessionTags)."
    )
    SLOW = (
        "Account B: if the API needs longer, allow it: timing and idle_timeout of the client. "
        "Account A: check that the API exists, and what takes it so long."
    )
    NO_TIME = "Account B: allow more time, if this happens often."


_CLOCK = "Account B: set the clock."
_REGION = "Account B: set AWS_REGION, or region in the profile."
_PROGRAM = "Account B: the program in the profile's credential_process failed; run it by hand, its output must be JSON."

# By a pattern of an error's code and message, since AWS tells some causes apart only there. The first that fits counts.
STS = {
    "AccessDenied: .*MultiFactorAuthentication failed": (
        "Account B: the MFA code is wrong or was used before, or mfa_serial is not the user's device."
    ),
    "AccessDenied:": Advice.UNDECIDED,
    "(InvalidIdentityToken|IDP[^:]*):": "Account B: check the token in web_identity_token_file and its provider.",
    "ExpiredToken(Exception)?:": "Account B: the caller's own credentials have expired: get new ones.",
    "(InvalidClientTokenId|UnrecognizedClientException):": (
        "Account B: the caller's own credentials are not valid: the access key was deleted or deactivated, or "
        "the session token is not the key's."
    ),
    "RegionDisabledException:": (
        "Account A: enable this region for STS. Account B: or call from a region that account A has enabled."
    ),
    "SignatureDoesNotMatch: .*Signature expired": _CLOCK,
    "SignatureDoesNotMatch: .*Signature not yet current": _CLOCK,
    "RequestExpired:": _CLOCK,
    "SignatureDoesNotMatch:": (
        "Account B: the caller's own credentials are not valid: the secret access key is not the access key's."
    ),
    "(Param)?ValidationError: .*TokenCode": "Account B: an MFA code has 6 digits.",
    "(Param)?ValidationError: .*role chaining": (
        "Account B: duration_seconds of the profile is at most 3600 where a role's session assumes the next role."
    ),
    "(Param)?ValidationError: .*DurationSeconds": (
        "Account B: duration_seconds of the profile must be from 900 to the role's MaxSessionDuration."
    ),
    "(Param)?ValidationError: .*WebIdentityToken": (
        "Account B: the file in web_identity_token_file or AWS_WEB_IDENTITY_TOKEN_FILE has no token in it."
    ),
    "(Param)?ValidationError:": "Account B: check the role's ARN, the ExternalId and the session name.",
    "(Throttling[^:]*|RequestLimitExceeded|Internal[^:]*|ServiceUnavailable[^:]*):": "AWS: try again later.",
    # From here on, what keeps STS from being asked.
    "NoCredentialsError:": Advice.NO_CREDENTIALS,
    r"ProfileNotFound: .*profile \(\)": "Account B: AWS_PROFILE is set but empty; unset it.",
    "ProfileNotFound:": Advice.NO_PROFILE,
    "MalformedCredentials:": "Account B: correct it: printable ASCII, without blanks, quotes and line ends.",
    "MissingSessionToken:": "Account B: set AWS_SESSION_TOKEN or aws_session_token, which belongs to the key.",
    "MissingDependencyException:": 'Account B: this way to sign in needs one more package: pip install "botocore[crt]"',
    "ConfigParseError:": "Account B: correct this file.",
    "PartialCredentialsError:": (
        "Account B: complete the profile: a role needs source_profile or credential_source, a key its secret."
    ),
    "([^:]*ConfigError|UnknownCredentialError):": "Account B: correct the profile.",
    "ForbiddenException:": "Account B: sso_account_id and sso_role_name must be an assignment of yours.",
    "([^:]*SSO[^:]*|TokenRetrievalError|PendingAuthorizationExpiredError):": (
        "Account B: sign in again: aws sso login --profile {profile}"
    ),
    "Login[^:]*:": "Account B: sign in again: aws login --profile {profile}",
    "CredentialProcessError:": _PROGRAM,
    "CredentialRetrievalError: .*custom-process": _PROGRAM,
    "(Credential|Metadata)RetrievalError:": (
        "Account B: the environment, container or instance of credential_source gives no credentials."
    ),
    "EOFError:": "Account B: nobody could be asked for the MFA code; run it in a terminal.",
    "(No|Invalid)RegionError:": _REGION,
    r"ValueError: .*https://sts\.\.": _REGION,  # an empty AWS_DEFAULT_REGION
    "ValueError: .*Invalid endpoint": (
        "Account B: AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_STS or endpoint_url must be a URL with https://."
    ),
    "ValueError: .*Unsupported host": (
        "Account B: AWS_CONTAINER_CREDENTIALS_FULL_URI must be the address that ECS or EKS sets."
    ),
    "(ProxyConnectionError|InvalidProxiesConfigError|UnicodeEncodeError|LocationParseError):": (
        "Account B: check HTTPS_PROXY: its address, and that user and password are percent-encoded ASCII."
    ),
    "HTTPClientError: .*codec can't encode": "Account B: user and password in HTTPS_PROXY must be ASCII.",
    "SSLError:": (
        "Account B: AWS_CA_BUNDLE or the profile's ca_bundle, else REQUESTS_CA_BUNDLE, must contain the CA of STS."
    ),
    r"\w*(Connect|Connection|Timeout|HTTPClient|ResponseStreaming)\w*Error:": (
        "Account B: STS must be reachable from here; a later attempt may succeed."
    ),
    "(OS|FileNotFound|Permission|NotADirectory|IsADirectory)Error:": "Account B: this file must be readable.",
}
FORBIDDEN = {
    "AccessDeniedException: .*User is not authorized to access this resource": (
        "Account A: a Lambda authorizer refuses it; for signed calls, the method's authorizer must be AWS_IAM."
    ),
    "AccessDeniedException:": Advice.LACKING,
    "WafAction:": (
        "Account A: the stage's web ACL (AWS WAF) stopped it before the API; Challenge and CAPTCHA are for "
        "browsers: use Block there, or except this path."
    ),
    ": .*Forbidden": (
        "An HTTP API gives no reason. Account A: the role's policy must allow this route. Account B: check the "
        "region and the credentials that sign."
    ),
    "ForbiddenException:": (
        "Account B: check the host and the stage in the API's URL. Account A: error_type in the access log says "
        "whether AWS WAF, a missing API key or a private API's endpoint refuses it; without a line there, the "
        "default address may be disabled."
    ),
    "IncompleteSignatureException:": "Account B: something in between changes the Authorization header.",
    "InvalidSignatureException: .*Signature expired": _CLOCK,
    "InvalidSignatureException: .*Signature not yet current": _CLOCK,
    "InvalidSignatureException: .*Credential should be scoped": "Account B: sign for the API's region.",
    "InvalidSignatureException:": (
        "Account B: check the API's region, the secret access key, and whether something in between changes "
        "host, path or body."
    ),
    "MissingAuthenticationTokenException:": "Account B: the API's stage has no such method and path.",
}
EXPIRED = {
    "UnrecognizedClientException:": (
        "Account B: the session is not valid: get a new one. If that is rejected too, check the partition of the "
        "API's URL and, in a region that is off by default, sts_regional_endpoints: it must be regional, since "
        "sessions of the global STS endpoint are not valid there."
    ),
}
THROTTLED = {
    "LimitExceededException:": "Account A: the usage plan's quota is used up; raise it.",
    ": .*Limit Exceeded": "Account A: the usage plan's quota is used up; raise it.",
}

POLICIES = {
    "identity-based policy": (
        "{account}: a policy of {caller} denies {what}.",
        "{account}: no policy of {caller} allows {what}.",
    ),
    "permissions boundary": (
        "{account}: the permissions boundary of {caller} denies {what}.",
        "{account}: the permissions boundary of {caller} does not allow {what}.",
    ),
    "service control policy": (
        "{account}: a service control policy (SCP) of its organization denies {what}.",
        "{account}: no service control policy (SCP) of its organization allows {what}.",
    ),
    "session policy": (
        "Account B: the session policy that the session was created with denies {what}.",
        "Account B: the session policy that the session was created with does not allow {what}.",
    ),
    "vpc endpoint policy": (
        "Account B: the policy of the VPC endpoint that the request went through denies {what}.",
        "Account B: the policy of the VPC endpoint that the request went through does not allow {what}.",
    ),
    "resource control policy": (
        "Account A: a resource control policy (RCP) of its organization denies {what}.",
        "Account A: no resource control policy (RCP) of its organization allows {what}.",
    ),
    "resource-based policy": (
        "Account A: the API's resource policy denies {what}.",
        "Account A: the API's resource policy does not allow {what}.",
    ),
    "role trust policy": (
        "Account A: the role's trust policy denies {what}.",
        "Account A: the role's trust policy does not allow {what}.",
    ),
}
"""By the type of policy, which AWS names: that it denies the action, and that it does not allow it."""

MORE = {
    ("execute-api", "identity-based policy", True): (
        "Such a policy suspends a consumer or revokes its sessions; after a revocation, a new session is accepted."
    ),
    ("execute-api", "resource-based policy", True): Advice.GUARDED,
    ("sts", "identity-based policy", False): Advice.NOT_ALLOWED,
    ("sts", "role trust policy", False): (
        "It compares the account, the ExternalId, the session name, the principal and MFA. "
        "Account B: check what the profile sends."
    ),
}
"""By service, type of policy and whether it denies: what else helps."""


def find(sentences: Mapping[str, str], code: str, message: str, default: str) -> str:
    """Return the first sentence that fits."""
    said = f"{code[:100]}: {' '.join(message.split())}"
    return next((text for pattern, text in sentences.items() if re.match(pattern, said, re.IGNORECASE)), default)


def fill(sentences: Iterable[str], names: Mapping[str, object]) -> str:
    """Return sentences with the names in braces replaced; what they are replaced by may have braces, too."""
    return re.sub(r"\{(\w+)\}", lambda found: str(names.get(found[1], found[0])), " ".join(sentences))
