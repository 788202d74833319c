"""Properties in formulas, and their proof."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cross_account_access.engine.fields import TRUE, Field, all_of, any_of, holds, no
from cross_account_access.engine.request import Kind, Request
from cross_account_access.engine.solver import solve
from cross_account_access.model import Model


@dataclass(frozen=True)
class Claim:
    """A property in formulas: within its domain, the policies allow what is needed and only what is intended."""

    request: Request
    domain: Any  # which requests the property is about
    allowed: Any  # by the policies
    intended: Any  # may be allowed
    needed: Any  # must be allowed


@dataclass(frozen=True)
class Property:
    """A property of the model."""

    sentence: str
    claims: Callable[[Model, Kind], Iterable[Claim]] = lambda *_: ()  # its formulas for a kind of principal
    violations: Callable[[Model], Iterable[str]] = lambda _: ()  # what in the model's structure violates it, in words


@dataclass(frozen=True)
class Verdict:
    """The solver's verdict on a property."""

    proven: bool
    seconds: float
    counterexample: str = ""  # in words


def prove(property_: Property, model: Model) -> Verdict:
    """Look for a request that is allowed but not intended, or needed but not allowed; there must be some to look at.

    Raises:
        UndecidedError: z3 did not decide within its limit.
        NotModelledError: The policies use something that the logic does not support.
    """
    started = time.perf_counter()
    counterexample = next(_refutations(property_, model), None)
    return Verdict(counterexample is None, time.perf_counter() - started, counterexample or "")


def _refutations(property_: Property, model: Model) -> Iterator[str]:
    yield from property_.violations(model)
    claims = [(place, claim) for kind in Kind for place, claim in enumerate(property_.claims(model, kind))]
    yield from filter(None, (refutation(claim) for _, claim in claims))
    about_something: set[int] = set()
    for place, claim in claims:
        if place not in about_something and find(claim, TRUE) is not None:
            about_something.add(place)
    if {place for place, _ in claims} - about_something:
        yield "there is no request that it is about"


def refutation(claim: Claim) -> str:
    """Return a request that refutes a claim, in words; empty if there is none."""
    too_much = all_of(claim.allowed, no(claim.intended))
    too_little = all_of(claim.needed, no(claim.allowed))
    found = find(claim, any_of(too_much, too_little))
    if found is None:
        return ""
    problem = "allowed, but not intended" if holds(found, claim.allowed) else "intended, but not allowed"
    return f"{problem}: {claim.request.witness(found)}"


def find(claim: Claim, formula: Any) -> Any:
    """Like `solve`, within the domain of a claim."""
    return solve(claim.request, all_of(claim.domain, formula))


def new_request(model: Model, kind: Kind, prefix: str = "", session: Field | None = None) -> Request:
    """Make a request in a world in which the model's roles exist."""
    return Request(kind, {role.arn: role.role_id for role in model.roles}, prefix, session)


def statements(model: Model, name: str) -> list[Any]:
    """Return the statements of a policy document."""
    found: list[Any] = model[name]["Statement"]
    return found
