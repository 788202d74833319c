"""Concrete requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Principal:
    """Somebody who makes requests.

    Attributes:
        name: Who it is, in words.
        arn: ARN of the user or of the role; of a service, its DNS name.
        type: Value of `aws:PrincipalType`; empty for a service.
        user_id: Value of `aws:userid`.
        session: Name of the role's session.
    """

    name: str
    arn: str
    type: str
    user_id: str
    session: str = ""

    @property
    def account(self) -> str:
        """Id of its account; empty for a service and for anonymous requests."""
        return self.arn.split(":")[4] if self.arn.startswith("arn:") else ""

    @property
    def context(self) -> dict[str, str]:
        """The condition keys that say who it is."""
        keys = {"aws:PrincipalType": self.type, "aws:userid": self.user_id}
        if self.account:
            keys |= {"aws:PrincipalArn": self.arn, "aws:PrincipalAccount": self.account}
        return {name: value for name, value in keys.items() if value}

    @property
    def session_arn(self) -> str:
        """ARN with which it makes requests: for a role, that of the session."""
        if self.type != "AssumedRole":
            return self.arn
        return f"arn:aws:sts::{self.account}:assumed-role/{self.arn.rsplit('/', 1)[-1]}/{self.session}"

    def __str__(self) -> str:
        """Say who it is in one phrase."""
        match self.type:
            case "AssumedRole":
                return f"session {self.session} of {self.arn}"
            case "":
                return f"the service {self.arn}"
            case "Anonymous":
                return "anyone, unsigned,"
        return self.arn


@dataclass(frozen=True)
class Case:
    """A request.

    Attributes:
        principal: Who makes it.
        action: The action.
        resource: ARN of the resource.
        identity: Names of the policies that the principal has.
        policy: Name of the resource's policy.
        context: Condition keys in addition to those of the principal.
        absent: Keys that a policy looks at and the request does not have.
        intended: Whether the owner of the policies means to allow it.
    """

    principal: Principal
    action: str
    resource: str
    identity: tuple[str, ...] = ()
    policy: str = ""
    context: Mapping[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    intended: bool = False

    def __str__(self) -> str:
        """Say who does what with what."""
        context = [f"with {name} {value!r}" for name, value in self.context.items()]
        context += [f"without {name}" for name in self.absent]
        return ", ".join([f"{self.principal} does {self.action} on {self.resource}", *context])
