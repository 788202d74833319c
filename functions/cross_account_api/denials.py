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

from cross_account_api.advice import MORE, POLICIES, Advice

_SENTENCE = re.compile(
    r"User: (?P<principal>\S+) is not authorized to perform:? (?P<action>[\w-]+:\w+)"
    r"(?: on (?:the )?resource:? (?P<resource>\S+))?"
)
_REASON = re.compile(
    r"because no (?P<missing>[\w -]{1,40}?) allows|with an explicit deny(?: in (?:an?|the) (?P<denying>[\w -]{1,40}))?",
    re.IGNORECASE,
)
"""No type of policy is longer: an API that repeats these words ten thousand times must not keep the client busy."""

_METHOD_ARN = re.compile(
    r"arn:[\w-]+:execute-api:(?P<region>[\w-]+):[^:]*:(?P<api>[^/]+)/(?P<stage>[^/]+)/.*", re.ASCII
)

_OPEN = ("", "identity-based policy", "resource-based policy")


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
            policy=next((policy for policy in POLICIES if named.startswith(policy)), ""),
            explicit=bool(reason and not reason["missing"]),
        )

    @property
    def is_of_executor(self) -> bool:
        """Whether the principal can be a session of the role that may call the API: one of the API's own account."""
        own, other = (f"{arn}::::".split(":")[4] for arn in (self.principal, self.resource))
        return ":assumed-role/" in self.principal and own.endswith(other.lstrip("*"))

    def advise(self) -> tuple[tuple[str, ...], dict[str, str]]:
        """Return which account can change that, and how: sentences, and what their names in braces stand for."""
        if self.action == "execute-api:Invoke":
            return self._advise_on_api()
        names = {"action": self.action, "account": "Account B", "caller": "the caller"}
        names["what"] = self.action + (f" on {self.resource}" if self.resource else "")
        if self.action in ("sts:TagSession", "sts:SetSourceIdentity") and self.policy in ("", "role trust policy"):
            own = () if self.policy else (Advice.OWN_POLICY,)
            tags = (Advice.SESSION_TAGS,) if self.action == "sts:TagSession" else ()
            return (Advice.TRUST, *own, *tags), names
        return (self._blame() if self.policy else (Advice.UNDECIDED,)), names

    def _advise_on_api(self) -> tuple[tuple[str, ...], dict[str, str]]:
        names = {"account": "Account A", "caller": "the executor role", "what": "this method and path"}
        lacking: tuple[str, ...] = (Advice.LACKING,)
        if called := _METHOD_ARN.fullmatch(self.resource):
            lacking += (Advice.CALLED,)
            names |= called.groupdict()
        if self.principal == "anonymous":
            return (Advice.UNSIGNED,), names
        if not self.is_of_executor:
            names |= {"principal": self.principal, "account": "Account B", "caller": "the caller", "what": "the call"}
            if self.policy in _OPEN:
                return (Advice.OTHER_ROLE, Advice.WITHOUT_ROLE), names
            return (*self._blame(), Advice.OTHER_ROLE), names
        if not self.resource and self.policy in _OPEN and not self.explicit:
            return (Advice.OWN_ACCOUNT, *lacking), names | {"owner": self.principal.split(":")[4]}
        if not self.policy and self.explicit:
            return (Advice.DENIED, Advice.GUARDED), names
        if self.policy in ("", "identity-based policy") and not self.explicit:
            return lacking, names
        return self._blame(), names

    def _blame(self) -> tuple[str, ...]:
        """Return what the policy that AWS names does, and what else helps."""
        service, policy = self.action.partition(":")[0], self.policy
        if service == "sts" and policy == "resource-based policy":
            policy = "role trust policy"
        denies, does_not_allow = POLICIES[policy]
        more = MORE.get((service, policy, self.explicit))
        return (denies if self.explicit else does_not_allow, *([more] if more else []))
