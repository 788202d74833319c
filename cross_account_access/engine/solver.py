"""Asking z3."""

from typing import Any

import z3

from cross_account_access.engine.fields import FALSE
from cross_account_access.engine.request import Request

_TIMEOUT_MS = 60_000


class UndecidedError(Exception):
    """The solver did not decide in time."""


def solve(request: Request, formula: Any, timeout_ms: int = _TIMEOUT_MS) -> Any:
    """Return the solver's model of a request for which a formula holds, or None if there is no such request.

    Raises:
        UndecidedError: z3 did not decide in time.
    """
    return None if formula is FALSE else satisfied(formula, request.guarantees, timeout_ms=timeout_ms)


def satisfied(*formulas: Any, timeout_ms: int = _TIMEOUT_MS) -> Any:
    """Return a model of formulas, or None if they contradict each other.

    Raises:
        UndecidedError: z3 did not decide in time.
    """
    if any(formula is FALSE for formula in formulas):
        return None
    solver = z3.Solver()
    solver.add(*formulas)
    solver.set(timeout=timeout_ms // 10)
    answer = solver.check()
    if answer == z3.unknown:
        # z3's search depends on all earlier formulas of its context, so try again in a new one.
        solver = solver.translate(z3.Context())
        solver.set(timeout=timeout_ms)
        answer = solver.check()
    if answer == z3.unknown:
        raise UndecidedError(f"not decided in time: {solver.reason_unknown()}")
    return solver.model().translate(z3.main_ctx()) if answer == z3.sat else None
