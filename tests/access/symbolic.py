"""Requests and parameters of a template that are both free: z3's own theory of strings compares them.

A parameter is given to the template as a symbol, a text in angle brackets that no policy contains by itself.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import z3

from access.engine.fields import FALSE, TRUE, Field, NotModelledError
from access.engine.request import Key, Kind, Request
from access.properties import UndecidedError

type Symbols = Mapping[str, Callable[[Any], Any]]
"""By symbol: when a string, a term of z3, matches the value that the symbol stands for."""

_parser = importlib.import_module("re._parser")
_ANY_TEXT = z3.Full(z3.ReSort(z3.StringSort()))
_CHARACTER = z3.AllChar(z3.ReSort(z3.StringSort()))
_WORD = z3.Union(z3.Range("a", "z"), z3.Range("A", "Z"), z3.Range("0", "9"), z3.Re("_"))


class Text(Field):
    """A free string that is compared with symbols."""

    def __init__(self, name: str, symbols: Symbols) -> None:
        super().__init__(name)
        self.term = z3.String(name)
        self._symbols = symbols

    def like(self, *globs: str) -> Any:
        return z3.Or(*map(self._like, globs))

    def _like(self, glob: str) -> Any:
        if glob in self._symbols:
            return self._symbols[glob](self.term)
        pieces = re.split(r"(\*|\?)", glob)
        parts = [{"*": _ANY_TEXT, "?": _CHARACTER}.get(piece, z3.Re(piece)) for piece in pieces]
        return z3.InRe(self.term, z3.Concat(*parts) if len(parts) > 1 else parts[0])

    def equals(self, text: str) -> Any:
        return self.term == z3.StringVal(text)

    def arn_like(self, pattern: str) -> Any:
        raise NotModelledError(f"{self._name} with {pattern}")

    @property
    def guarantees(self) -> Any:
        return TRUE

    def value(self, model: Any, candidates: Iterable[str] = ()) -> str:
        del candidates
        text: str = model.eval(self.term, model_completion=True).as_string()
        return text


class FreeRequest(Request):
    """A request whose resource and some condition keys are compared with symbols."""

    def __init__(self, kind: Kind, symbols: Symbols, keys: tuple[str, ...] = ()) -> None:
        super().__init__(kind, {})
        self.resource = self.text = Text("resource", symbols)
        self._symbols = symbols
        self._texts = keys

    def _new_key(self, name: str) -> Key:
        if name not in self._texts:
            return super()._new_key(name)
        text = Text(name, self._symbols)
        # AWS sends the organization's keys for principals of accounts only.
        present = z3.And(z3.Bool(f"{name} present"), z3.BoolVal(self.is_iam or not name.startswith("aws:principalorg")))
        return Key(present, text.like, text.arn_like, text.value, text)

    def principal_like(self, pattern: str) -> Any:
        if pattern in self._symbols:
            # Any set of principals; with z3, those of which this one is a member or not.
            return z3.Bool(f"principal is in {pattern}") if self.is_iam else FALSE
        return super().principal_like(pattern)


def regex(pattern: str) -> Any:
    r"""Translate a template's AllowedPattern, in which `\w` is ASCII."""
    return _sequence(_parser.parse(pattern, re.ASCII))


def _sequence(items: Any) -> Any:
    parts = [_one(str(kind), argument) for kind, argument in items]
    return z3.Concat(*parts) if len(parts) > 1 else parts[0] if parts else z3.Re("")


def _one(kind: str, argument: Any) -> Any:
    match kind:
        case "LITERAL":
            return z3.Re(chr(argument))
        case "NOT_LITERAL":
            return z3.Intersect(_CHARACTER, z3.Complement(z3.Re(chr(argument))))
        case "ANY":
            return _CHARACTER
        case "RANGE":
            return z3.Range(chr(argument[0]), chr(argument[1]))
        case "CATEGORY" if str(argument) == "CATEGORY_WORD":
            return _WORD
        case "IN":
            negated = str(argument[0][0]) == "NEGATE"
            parts = [_one(str(item), value) for item, value in argument[negated:]]
            union = z3.Union(*parts) if len(parts) > 1 else parts[0]
            return z3.Intersect(_CHARACTER, z3.Complement(union)) if negated else union
        case "BRANCH":
            return z3.Union(*map(_sequence, argument[1]))
        case "SUBPATTERN":
            return _sequence(argument[3])
        case "MAX_REPEAT":
            low, high, items = argument
            repeated = _sequence(items)
            if str(high) != "MAXREPEAT":
                return z3.Loop(repeated, low, high)
            return z3.Concat(z3.Loop(repeated, low, low), z3.Star(repeated)) if low else z3.Star(repeated)
    raise NotModelledError(f"{kind} in a regular expression")


@functools.cache
def find_outside(pattern: str, other: str) -> str:
    """Find a text that one AllowedPattern accepts and another does not; empty if there is none."""
    text, solver = z3.String("text"), z3.Solver()
    solver.set(timeout=600_000)
    solver.add(z3.InRe(text, regex(pattern)), z3.Not(z3.InRe(text, regex(other))))
    answer = solver.check()
    if answer == z3.unknown:
        raise UndecidedError(solver.reason_unknown())
    return solver.model()[text].as_string() if answer == z3.sat else ""
