"""Concrete requests."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Principal:
    """The sender of a request."""

    name: str  # in words
    arn: str  # of the user or role; the DNS name of a service
    type: str  # `aws:PrincipalType`; empty for a service
    user_id: str  # `aws:userid`
    session: str = ""  # name of the role's session

    @property
    def account(self) -> str:
        """Account id; empty for a service and for anonymous requests."""
        return self.arn.split(":")[4] if self.arn.startswith("arn:") else ""

    @property
    def context(self) -> dict[str, str]:
        """The condition keys that identify it."""
        if "identity" in self.type:
            return {}
        keys = {"aws:PrincipalType": self.type, "aws:userid": self.user_id}
        if self.account:
            keys |= {"aws:PrincipalArn": self.arn, "aws:PrincipalAccount": self.account}
        return {name: value for name, value in keys.items() if value}

    def __str__(self) -> str:
        match self.type:
            case "AssumedRole":
                return f"session {self.session} of {self.arn}"
            case "":
                return f"the service {self.arn}"
            case "Anonymous":
                return "anyone, unsigned,"
            case kind if "identity" in kind:
                return f"a {kind}"
        return self.arn


@dataclass(frozen=True)
class Case:
    """A request, and the names of the policies that decide on it."""

    principal: Principal
    action: str
    resource: str
    identity: tuple[str, ...] = ()  # the principal's own policies
    policy: str = ""  # the resource's policy
    context: Mapping[str, str] = field(default_factory=dict)  # in addition to the principal's
    absent: tuple[str, ...] = ()  # keys that a policy looks at and the request lacks

    def __str__(self) -> str:
        context = [f"with {name} {value!r}" for name, value in self.context.items()]
        context += [f"without {name}" for name in self.absent]
        return ", ".join([f"{self.principal} does {self.action} on {self.resource}", *context])
