"""Asking z3."""

from typing import Any

import z3

from cross_account_access.engine.fields import FALSE
from cross_account_access.engine.request import Request

_LIMIT = 2_000_000
"""In z3's units of work, some seconds: no verdict depends on a machine's speed. Templates need a hundredth of it."""


class UndecidedError(Exception):
    """The solver did not decide within its limit."""


def solve(request: Request, formula: Any) -> Any:
    """Return the solver's model of a request for which a formula holds, or None if there is no such request.

    Raises:
        UndecidedError: z3 did not decide within its limit.
    """
    return None if formula is FALSE else satisfied(formula, request.guarantees)


def satisfied(*formulas: Any) -> Any:
    """Return a model of formulas, or None if they contradict each other.

    Raises:
        UndecidedError: z3 did not decide within its limit.
    """
    if any(formula is FALSE for formula in formulas):
        return None
    solver = z3.SimpleSolver()
    solver.add(*formulas)
    solver.set(rlimit=_LIMIT // 10)
    answer = solver.check()
    if answer == z3.unknown:
        # z3's search depends on all earlier formulas of its context, so try again in a new one.
        solver = solver.translate(z3.Context())
        solver.set(rlimit=_LIMIT)
        answer = solver.check()
    if answer == z3.unknown:
        raise UndecidedError(f"not decided within the solver's limit: {solver.reason_unknown()}")
    return solver.model().translate(z3.main_ctx()) if answer == z3.sat else None
