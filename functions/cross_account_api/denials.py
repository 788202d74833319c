"""AWS's sentences about denied requests: which policy denied, and who can change it.

    User: arn:… is not authorized to perform: execute-api:Invoke on resource: arn:…
        because no identity-based policy allows the execute-api:Invoke action
        with an explicit deny in a service control policy

Not every answer names the type of policy; then it stays open.

See https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

import re
from dataclasses import dataclass
from typing import Self

_SENTENCE = re.compile(
    r"User: (?P<principal>\S+) is not authorized to perform:? (?P<action>[\w-]+:\w+)"
    r"(?: on (?:the )?resource:? (?P<resource>\S+))?"
)
_REASON = re.compile(
    r"because no (?P<missing>[\w -]{1,40}?) allows|with an explicit deny(?: in (?:an?|the) (?P<denying>[\w -]{1,40}))?",
    re.IGNORECASE,
)
"""No type of policy is longer: an API that repeats these words ten thousand times must not keep the client busy."""

_METHOD_ARN = re.compile(r"arn:[\w-]+:execute-api:([\w-]+):[^:]*:([^/]+)/([^/]+)/.*", re.ASCII)

_POLICIES = {
    "identity-based policy": "{account}: a policy of {principal}",
    "permissions boundary": "{account}: the permissions boundary of {principal}",
    "service control policy": "{account}: a service control policy (SCP) of its organization",
    "session policy": "Account B: the session policy that the session was created with",
    "vpc endpoint policy": "Account B: the policy of the VPC endpoint that the request went through",
    "resource control policy": "Account A: a resource control policy (RCP) of its organization",
    "resource-based policy": "Account A: {resource_policy}",
    "role trust policy": "Account A: {resource_policy}",
}
"""By the type of policy: who can change it, and what a message calls it; `account` is that of the principal."""

UNDECIDED = (
    "STS did not say which side refused. Account B: compare the role's ARN with account A's output ExecutorRoleArn; "
    "allow {action} on exactly this role. "
    "Account A: check the trust policy's account, ExternalId, session name, principal and MFA."
)

LACKING = (
    "Account A: the executor role's policy lacks this method and path. Account B: or the URL is not account A's output "
    "ApiUrl."
)
_GUARD = (
    "It does so while the consumer is suspended (SuspendedConsumerIds), and to roles that it does not know "
    "(MoreExecutorRoleIds); a private API, to requests outside its endpoints (VpcEndpointIds). "
    "Account B: call with a session of the executor role."
)
_MORE = {
    ("execute-api", "identity-based policy", True): (
        "Such a policy suspends a consumer or revokes its sessions; after a revocation, a new session is accepted."
    ),
    ("execute-api", "resource-based policy", True): _GUARD,
    ("sts", "identity-based policy", False): (
        "ApiAccessPolicy of template-account-b.yaml does: attach it by ApiUserNames, by ApiRoleNames or in the "
        "permission set. Or the ARN is wrong: compare it with account A's output ExecutorRoleArn."
    ),
    ("sts", "role trust policy", False): (
        "It compares the account, the ExternalId, the session name, the principal and MFA. "
        "Account B: check what the profile sends."
    ),
}
"""By service, type of policy and whether it denies: what else helps."""


@dataclass(frozen=True)
class Denial:
    """One such sentence.

    Attributes:
        principal: ARN of the caller, or `anonymous`.
        action: What was denied, such as `sts:AssumeRole`.
        resource: ARN of the API's method or of the role; API Gateway masks the account but for four digits.
        policy: Type of the policy, in lower case; empty if AWS does not say.
        explicit: Whether a policy denies it; else none allows it.
    """

    principal: str
    action: str
    resource: str
    policy: str
    explicit: bool

    @classmethod
    def parse(cls, message: str) -> Self | None:
        """Find the sentence in a message; None if there is none."""
        text = " ".join(message.split())
        sentence = _SENTENCE.search(text)
        if not sentence:
            return None
        reason = _REASON.search(text, sentence.end())
        named = (reason["missing"] or reason["denying"] or "").lower().replace("sessions", "session") if reason else ""
        return cls(
            principal=sentence["principal"],
            action=sentence["action"],
            resource=sentence["resource"] or "",
            policy=next((policy for policy in _POLICIES if named.startswith(policy)), ""),
            explicit=bool(reason and not reason["missing"]),
        )

    @property
    def is_of_executor(self) -> bool:
        """Whether the principal can be a session of the role that may call the API: one of the API's own account."""
        own, other = (f"{arn}::::".split(":")[4] for arn in (self.principal, self.resource))
        return ":assumed-role/" in self.principal and own.endswith(other.lstrip("*"))

    @property
    def remedy(self) -> str:
        """Which account can change that, and how."""
        if self.action == "execute-api:Invoke":
            return self._api_remedy()
        if self.action in ("sts:TagSession", "sts:SetSourceIdentity") and self.policy in ("", "role trust policy"):
            also = "" if self.policy else f" Account B: the caller's policy must allow {self.action} on it as well."
            if self.action == "sts:TagSession":
                also += (
                    " Account B: or send no session tags (GitHub's action: role-skip-session-tagging: true; "
                    "EKS Pod Identity: disableSessionTags)."
                )
            return f"Account A: the role's trust policy must allow {self.action}.{also}"
        if not self.policy:
            return UNDECIDED.format(action=self.action)
        what = self.action + (f" on {self.resource}" if self.resource else "")
        return self._named_remedy("the caller", "Account B", "the role's trust policy", what)

    def _api_remedy(self) -> str:
        if self.principal == "anonymous":
            return "Account A: the method does not read signatures; its authorizer must be AWS_IAM."
        lacking = LACKING
        if called := _METHOD_ARN.fullmatch(self.resource):
            region, api, stage = called.groups()
            lacking += f" API {api}, stage {stage} in {region} was called."
        is_open = self.policy in ("", "identity-based policy", "resource-based policy")
        if not self.is_of_executor:
            assume = f"Account B: {self.principal} is not the executor role: assume account A's output ExecutorRoleArn."
            if is_open:
                return f"{assume} Without a role, the caller's policy and the API's resource policy must both allow it."
            named = self._named_remedy("the caller", "Account B", "the API's resource policy", "the call")
            return f"{named} {assume}"
        if not self.resource and is_open and not self.explicit and "ExecutorRole" not in self.principal:
            own = self.principal.split(":")[4]
            return f"Account B: unless {own} is the API's account, assume account A's output ExecutorRoleArn. {lacking}"
        if not self.policy and self.explicit:
            return f"Account A: a policy denies it, probably the API's resource policy. {_GUARD}"
        if self.policy in ("", "identity-based policy") and not self.explicit:
            return lacking
        return self._named_remedy("the executor role", "Account A", "the API's resource policy", "this method and path")

    def _named_remedy(self, principal: str, account: str, resource_policy: str, what: str) -> str:
        policy = _POLICIES[self.policy].format(account=account, principal=principal, resource_policy=resource_policy)
        if self.explicit:
            text = f"{policy} denies {what}."
        elif ": a " in policy:
            text = f"{policy.replace(': a ', ': no ')} allows {what}."
        else:
            text = f"{policy} does not allow {what}."
        return " ".join(filter(None, (text, _MORE.get((self.action.partition(":")[0], self.policy, self.explicit)))))
