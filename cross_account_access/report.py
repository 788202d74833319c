"""The access report: who may call what, why, and what is proven about it; on the terminal and as one HTML page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cross_account_access import access_stack, deploy_role
from cross_account_access.matrix import Cell, Row, Subject, access_subject, admitted_rows, columns, rows, subject
from cross_account_access.model import Model
from cross_account_access.proof import Property, Verdict, prove
from cross_account_access.properties import PROPERTIES


@dataclass(frozen=True)
class Proof:
    """The verdict on a property, for all variants."""

    property: Property
    verdict: Verdict  # the first refutation, or that it holds
    variant: str  # the deployment that refutes it; empty if none does
    seconds: float  # for all variants


@dataclass(frozen=True)
class Matrix:
    """Who may assume a role and make its calls."""

    title: str  # empty for account A's role
    calls: Sequence[str]  # headings of the cells
    rows: Sequence[Row]

    @property
    def where(self) -> str:
        """Suffix that distinguishes its cells from those of account A's role."""
        return " (access stack)" if self.title else ""


@dataclass(frozen=True)
class Report:
    """All findings."""

    model: Model
    facts: Mapping[str, str]  # more lines for its head
    matrices: Sequence[Matrix]
    proofs: Sequence[Proof]
    variants: Sequence[str]  # deployments for which the properties were examined
    access_models: Sequence[Model] = ()  # those whose access stack has a matrix

    @property
    def refuted(self) -> int:
        """Number of refuted properties."""
        return sum(not proof.verdict.proven for proof in self.proofs)

    @property
    def wrong(self) -> list[tuple[Row, str, Cell]]:
        """The cells that violate the contract, with row and heading."""
        return [
            (row, f"{heading}{matrix.where}", cell)
            for matrix in self.matrices
            for row in matrix.rows
            for heading, cell in zip(matrix.calls, row.cells, strict=True)
            if not cell.good
        ]

    @property
    def good(self) -> bool:
        """Whether everything is as it should be."""
        return not self.refuted and not self.wrong

    @property
    def summary(self) -> str:
        """The result in one sentence."""
        cells = sum(len(row.cells) for matrix in self.matrices for row in matrix.rows)
        if self.good:
            return f"Access is as the contract says: {cells} of {cells} cells, {len(self.proofs)} properties proven."
        problems = []
        if self.refuted:
            problems.append(f"{self.refuted} of {len(self.proofs)} properties refuted")
        if self.wrong:
            problems.append(f"{len(self.wrong)} of {cells} cells not as the contract says")
        return f"Access is NOT as it should be: {', '.join(problems)}."


def examine(models: Mapping[str, Model], facts: Mapping[str, str], *, all_access_stacks: bool = False) -> Report:
    """Decide the matrix for the first model and prove the properties for all.

    The models differ only in parameters, or in their access stacks: then each of these is shown.
    """
    first = next(iter(models.values()))
    shown = [model for model in models.values() if all_access_stacks or model is first]
    own = subject(first)
    more = [row for model in shown for row in admitted_rows(model, own)]
    matrices = [Matrix("", columns(own), [*rows(first, own), *more])]
    for model in shown:
        if other := access_subject(model):
            source = (
                "template-access.yaml" if model.stacks["access"].source == "template" else model.stacks["access"].source
            )
            matrices.append(_matrix(f"An access stack ({source}), for an API with its guard", model, other))
    proofs = [_proof(item, models) for item in properties_of(first)]
    return Report(first, facts, matrices, proofs, list(models), shown)


def properties_of(model: Model) -> tuple[Property, ...]:
    """Return the properties that a model must have."""
    others = access_stack.PROPERTIES if model.access_role else ()
    return PROPERTIES + others + (deploy_role.PROPERTIES if deploy_role.is_in(model.folder) else ())


def _matrix(title: str, model: Model, of: Subject) -> Matrix:
    return Matrix(title, columns(of), list(rows(model, of)))


def _proof(property_: Property, models: Mapping[str, Model]) -> Proof:
    seconds = 0.0
    for name, model in models.items():
        verdict = prove(property_, model)
        seconds += verdict.seconds
        if not verdict.proven:
            return Proof(property_, verdict, name, seconds)
    return Proof(property_, Verdict(True, seconds), "", seconds)


def heading(report: Report) -> dict[str, str]:
    """Return the labels and values of the report's head."""
    model = report.model
    a, b = model.stacks["a"], model.stacks["b"]
    return {
        "Account A": f"{a.account}, {a.source}",
        "Account B": f"{b.account}, {b.source}",
        "API": f"{model.api_arn.rpartition(':')[2]}, stage {model.stage}, region {a.region}",
        "Executor role": model.executor.arn,
        **_access_heading(report.access_models),
        **report.facts,
    }


def _access_heading(models: Sequence[Model]) -> dict[str, str]:
    lines = {}
    for number, model in enumerate(models, 1):
        if model.access_role:
            asked = access_stack.intent(model)
            consumers = ", ".join(asked.admitted) or ", ".join((asked.organization, *asked.organization_paths))
            label = "Access stack" if len(models) == 1 else f"Access stack {number}"
            lines[label] = f"{model.stacks['access'].source}, for {consumers}: {model.access_role.arn}"
    return lines


def terminal(report: Report) -> RenderableType:
    """Return the report as tables for a terminal."""
    head = Table.grid(padding=(0, 2))
    for label, value in heading(report).items():
        head.add_row(f"[bold]{label}[/]", value)
    proofs = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    proofs.add_column(no_wrap=True)
    proofs.add_column(overflow="fold")
    for proof in report.proofs:
        if proof.verdict.proven:
            proofs.add_row("[green]proven[/]", proof.property.sentence)
        else:
            text = Text(f"{proof.property.sentence}\n{_blame(proof)}")
            proofs.add_row("[bold red]refuted[/]", text)
    wrong = [
        Text(f"{row.who}, {row.situation or 'as such'}, {name}: {_words(cell)}. {cell.decision.reason}", "red")
        for row, name, cell in report.wrong
    ]
    verdict = Text(report.summary, "bold green" if report.good else "bold red")
    return Group(verdict, "", head, "", *map(_table, report.matrices), *wrong, proofs)


def _table(matrix: Matrix) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("who")
    for name in matrix.calls:
        table.add_column(name.replace(" ", "\n", 1), justify="center")
    for row in matrix.rows:
        situation = f" ({row.situation})" if row.situation else ""
        table.add_row(f"{row.who}{situation}", *map(_mark, row.cells))
    return Group(Text(f"{matrix.title}\n", "bold"), table, "") if matrix.title else Group(table, "")


def _mark(cell: Cell) -> str:
    if not cell.good:
        return f"[bold red]! {'yes' if cell.decision.allowed else 'no'}[/]"
    return "[green]✓ yes[/]" if cell.decision.allowed else "✕ no"


def _words(cell: Cell) -> str:
    return "allowed, but not intended" if cell.decision.allowed else "intended, but not allowed"


def _blame(proof: Proof) -> str:
    return f"{proof.verdict.counterexample} (parameters: {proof.variant})"


def html(report: Report) -> str:
    """Return the report as a self-contained HTML page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(
        report=report,
        heading=heading(report),
        seconds=sum(proof.seconds for proof in report.proofs),
        documents={name: _pretty(document) for name, document in report.model.documents.items()},
        made=datetime.now(UTC),
        pretty=_pretty,
        words=_words,
        blame=_blame,
    )


def write(report: Report, console: Console, output: Path) -> None:
    """Print the report and write its page."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(html(report))
    console.print(terminal(report), highlight=False)
    console.print(f"\n{report.summary} Written to {output}", style="bold green" if report.good else "bold red")


def _pretty(document: object) -> str:
    return json.dumps(document, indent=2)
