"""Fields of a symbolic request, known only by the patterns that they match."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import z3

from cross_account_access.engine import patterns
from cross_account_access.engine.patterns import Pattern

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)

# A string without constraints; AWS requires two characters in session names and external ids.
_ANY_WORD = "other"


def any_of(*formulas: Any) -> Any:
    """Disjunction, as `z3.Or`, whose coercion of its arguments takes longer than solving."""
    relevant = [formula for formula in formulas if formula is not FALSE]
    if any(formula is TRUE for formula in relevant):
        return TRUE
    return _join(z3.Z3_mk_or, relevant) if relevant else FALSE


def all_of(*formulas: Any) -> Any:
    """Conjunction, as `z3.And`."""
    relevant = [formula for formula in formulas if formula is not TRUE]
    if any(formula is FALSE for formula in relevant):
        return FALSE
    return _join(z3.Z3_mk_and, relevant) if relevant else TRUE


def no(formula: Any) -> Any:
    """Negation, as `z3.Not`."""
    if formula is TRUE:
        return FALSE
    if formula is FALSE:
        return TRUE
    context = z3.main_ctx()
    return z3.BoolRef(z3.Z3_mk_not(context.ref(), formula.as_ast()), context)


def constant(value: bool) -> Any:
    """A constant, as `z3.BoolVal`, that the functions above recognize."""
    return TRUE if value else FALSE


def either(condition: Any, then: Any, otherwise: Any) -> Any:
    """One or the other, as `z3.If`."""
    return any_of(all_of(condition, then), all_of(no(condition), otherwise))


def _join(operation: Any, formulas: list[Any]) -> Any:
    if len(formulas) == 1:
        return formulas[0]
    context = z3.main_ctx()
    arguments = (z3.Ast * len(formulas))(*(formula.as_ast() for formula in formulas))
    return z3.BoolRef(operation(context.ref(), len(formulas), arguments), context)


class NotModelledError(Exception):
    """A policy uses a feature of IAM that this logic does not model."""


class Field:
    """A free string, known only by the patterns that it matches; its conditions are formulas."""

    def __init__(self, name: str, alphabet: str = patterns.PRINTABLE, values: Sequence[str] = ()) -> None:
        """Make a field of a unique name that is one of the values, if given, or else any string of the alphabet."""
        self.name = name
        self._alphabet = alphabet
        self._values = values
        self._patterns: dict[Pattern, Any] = {}
        self.globs: dict[str, None] = {}  # that were asked for

    def like(self, *globs: str) -> Any:
        """Whether the field matches any of the globs."""
        self.globs |= dict.fromkeys(globs)
        return any_of(*(TRUE if glob == "*" else self.matches(patterns.glob(glob)) for glob in globs))

    def equals(self, text: str) -> Any:
        """Whether the field equals a text."""
        return self.matches(patterns.literal(text))

    def arn_like(self, pattern: str) -> Any:
        """Whether the field matches the pattern of an ARN."""
        return self.matches(patterns.arn(pattern))

    def matches(self, pattern: Pattern) -> Any:
        """Whether the field matches a compiled pattern."""
        return self._patterns.setdefault(pattern, _atom(self.name, len(self._patterns)))

    @property
    def guarantees(self) -> Any:
        """The combinations of patterns that a string can match."""
        return _law(self.name, tuple(self._patterns), self._alphabet, tuple(self._values))

    def resembles(self, model: Any) -> Any:
        """Whether the field matches the same patterns as in a model of the solver."""
        return all_of(*(atom if holds(model, atom) else no(atom) for atom in self._patterns.values()))

    @property
    def atoms(self) -> Iterable[Any]:
        """What was asked of the field, as formulas."""
        return self._patterns.values()

    def truths(self, model: Any) -> tuple[bool, ...]:
        """Which patterns the field matches in a model of the solver."""
        return tuple(holds(model, atom) for atom in self._patterns.values())

    def fits(self, text: str, truths: tuple[bool, ...]) -> bool:
        """Return whether a string matches exactly these patterns."""
        known = zip(self._patterns, truths, strict=True)
        return all(patterns.matches(text, pattern) == truth for pattern, truth in known)

    def value(self, model: Any, candidates: Iterable[str] = ()) -> str:
        """Return a string that fits a model of the solver: a candidate if one fits, otherwise a neutral word."""
        truths = self.truths(model)
        any_word = [] if self._values or not set(_ANY_WORD) <= set(self._alphabet) else [_ANY_WORD]
        for text in (*candidates, *any_word):
            if self.fits(text, truths):
                return text
        return _combinations(tuple(self._patterns), self._alphabet, tuple(self._values))[truths]


@cache
def _law(name: str, among: tuple[Pattern, ...], alphabet: str, values: tuple[str, ...]) -> Any:
    """The possible combinations, as a formula; cached, since building formulas takes longer than solving them."""
    atoms = [(no(atom), atom) for atom in (_atom(name, index) for index in range(len(among)))]
    return any_of(
        *(
            all_of(*(literals[truth] for literals, truth in zip(atoms, combination, strict=True)))
            for combination in _combinations(among, alphabet, values)
        )
    )


@cache
def _atom(name: str, index: int) -> Any:
    return z3.Bool(f"{name} matches {index}")


def _combinations(among: tuple[Pattern, ...], alphabet: str, values: tuple[str, ...]) -> dict[tuple[bool, ...], str]:
    if values:
        return {tuple(patterns.matches(value, pattern) for pattern in among): value for value in values}
    return patterns.combinations(among, alphabet)


class Account:
    """A free account id, known only by which of the ids named in the policies it is, if any."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.ids: dict[str, Any] = {}
        self._prefixes: dict[tuple[Field, str], Any] = {}

    def like(self, *globs: str) -> Any:
        """Whether it matches any of the globs, each of them an id or `*`."""
        return any_of(*map(self._matches, globs))

    def _matches(self, glob: str) -> Any:
        if glob == "*":
            return TRUE
        if re.fullmatch("[0-9]{12}", glob):
            return self.ids.setdefault(glob, z3.Bool(f"{self._name} is {glob}"))
        if patterns.is_literal(glob) or re.search("[^0-9*?]", glob):
            return FALSE
        raise NotModelledError(f"account like {glob}")

    def begins(self, field: Field, text: str) -> Any:
        """Whether a field begins with this account followed by a text."""
        return self._prefixes.setdefault((field, text), z3.Bool(f"{self._name} begins {len(self._prefixes)}"))

    @property
    def guarantees(self) -> Any:
        """It is at most one of the ids, consistently with the fields that begin with it."""
        laws = [z3.AtMost(*self.ids.values(), 1)] if self.ids else []
        for (field, text), begins in self._prefixes.items():
            named = {account: field.like(f"{account}{text}*") for account in self.ids}
            # A field may begin with an id that is named nowhere; that may be this account if it is not named either.
            same = z3.Bool(f"{self._name} same in {id(field)}")
            unnamed = all_of(field.matches(patterns.account_then(text)), no(any_of(*named.values())))
            cases = [all_of(self.ids[account], carried) for account, carried in named.items()]
            laws.append(begins == any_of(*cases, all_of(no(any_of(*self.ids.values())), unnamed, same)))
        return all_of(*laws)

    def value(self, model: Any) -> str:
        """Return an id that fits a model of the solver."""
        for account, is_it in self.ids.items():
            if holds(model, is_it):
                return account
        for (field, _), begins in self._prefixes.items():
            if holds(model, begins):
                return field.value(model)[:12]
        return "999999999999"


def holds(model: Any, formula: Any) -> bool:
    """Return whether a formula is true in a model of the solver."""
    return bool(z3.is_true(model.eval(formula, model_completion=True)))
