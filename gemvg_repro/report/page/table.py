"""How are the numbers set in tables? Estimates -> pandas Styler -> HTML, and LaTeX for a paper."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from ...files.atomic import write_bytes
from ..measures import definition
from ..numbers.estimates import Estimate
from .escaping import escaped_html, escaped_latex


@dataclass(frozen=True)
class Number:
    """A cell: the estimate, already in the unit of its column, and how it is printed.

    rank 1 is printed bold, rank 2 underlined; `signed` differences carry their sign.
    """

    estimate: Estimate
    digits: int = 1
    signed: bool = False
    rank: int = 0

    def value(self) -> str:
        return self._print(self.estimate.value)

    def interval(self) -> str:
        low, high = self.estimate.low, self.estimate.high
        between = " to " if self.signed else "\N{EN DASH}"
        return f"{self._print(low)}{between}{self._print(high)}" if math.isfinite(low + high) else ""

    def printed(self) -> float:
        """The value as rounded for print."""
        return round(self.estimate.value, self.digits) + 0.0  # + 0.0 turns -0.0 into 0.0

    def _print(self, number: float) -> str:
        rounded = round(number, self.digits) + 0.0
        sign = "+" if self.signed and rounded > 0 else ""
        return f"{sign}{rounded:,.{self.digits}f}".replace("-", "\N{MINUS SIGN}")


NOT_RUN = None
"""A cell without a number: printed as a dash, which the table's notes explain."""


@dataclass(frozen=True)
class Missing:
    """A dash that says why: `reason` stands beside it, and once in the notes."""

    reason: str


@dataclass(frozen=True)
class Target:
    """A word that links lead to: those of the numbers lead to their runs."""

    text: str
    run: str


Cell = Number | Missing | Target | str | None

_CODE = re.compile(r"`([^`]+)`")
"""What stands in back quotes is code."""

_EMPTY_HEAD = re.compile(r"<th( [^>]*)?>(?:&nbsp;)?</th>")
"""A corner of a Styler's table: it is the head of nothing."""


@dataclass(frozen=True)
class Table:
    """A table of cells, with a caption above and notes beneath; a notebook shows it as HTML.

    `frame` has any index and plain columns; several index levels are set as blocks of rows.
    Cells of `prose` are wrapped and aligned to the left.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    prose: bool = False

    def html(self) -> str:
        """A figure element: needs the report's style sheet to look its best, and none to be read.

        A head that names a measure is a button that shows its definition, but for the rows of prose, which are named by
        words of any kind. A wide table scrolls by itself.
        """
        if not len(self.frame):
            why = code_in_html(" ".join(self.notes) or "Not run yet.")
            return f'<p class="not-run">{escaped_html(self.caption, 300)} {why}</p>'
        kind = "report text" if self.prose else "report"
        definitions: list[str] = []
        heads = _heads(self.name, definitions)
        styler = (
            self._styler(_html, escaped_html if self.prose else heads, heads)
            .set_table_attributes(f'class="{kind}"')
            .set_uuid(self.name)
        )
        notes = "".join(f"<p>{code_in_html(note)}</p>" for note in self._all_notes())
        caption = escaped_html(self.caption, 1000)
        table = _EMPTY_HEAD.sub(r"<td\1></td>", styler.to_html())
        wide = f'<div class="wide" role="group" tabindex="0" aria-label="{caption}">{table}</div>'
        return (
            f'<figure class="report"><figcaption>{caption}</figcaption>{wide}{"".join(definitions)}'
            f'<div class="notes">{notes}</div></figure>'
        )

    def latex(self) -> str:
        """A booktabs table environment, notes in the caption."""
        caption = " ".join(escaped_latex(text, 1000) for text in (self.caption, *self._all_notes()))
        columns = "l" * self.frame.index.nlevels + ("l" if self.prose else "r") * len(self.frame.columns)
        return self._styler(_latex, escaped_latex, escaped_latex).to_latex(
            hrules=True,
            caption=caption,
            label=f"tab:{self.name}",
            multirow_align="naive",
            position_float="centering",
            column_format=columns,
        )

    def save(self, out: Path) -> Table:
        """Writes out/tables/<name>.html and .tex, and gives the table back to be shown."""
        folder = out / "tables"
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / f"{self.name}.html", self.html().encode())
        write_bytes(folder / f"{self.name}.tex", self.latex().encode())
        return self

    def _repr_html_(self) -> str:
        return self.html()

    def _all_notes(self) -> tuple[str, ...]:
        cells = list(self.frame.to_numpy().ravel())
        dashes = any(cell is NOT_RUN for cell in cells)
        reasons = dict.fromkeys(cell.reason for cell in cells if isinstance(cell, Missing))
        return (
            *self.notes,
            *(["\N{EN DASH} no finished run gives this number, or it is not defined."] if dashes else []),
            *([f"\N{EN DASH} {'; or '.join(reasons)}."] if reasons else []),
        )

    def _styler(
        self, cell: Callable[[Any], str], rows: Callable[[object], str], columns: Callable[[object], str]
    ) -> Styler:
        # The cells are escaped by `cell`; a Styler's own escaping would spoil their mark-up.
        return self.frame.style.format(cell).format_index(rows, axis=0).format_index(columns, axis=1)


def ranked(column: Sequence[Cell], largest: bool = True) -> list[Cell]:
    """The cells with the best and the second-best value marked; what is printed alike is marked alike."""
    values = {cell.printed() for cell in column if isinstance(cell, Number)}
    order = sorted(values, reverse=largest)[: 2 if len(values) > 1 else 0]
    return [
        replace(cell, rank=order.index(cell.printed()) + 1)
        if isinstance(cell, Number) and cell.printed() in order
        else cell
        for cell in column
    ]


def percent(estimate: Estimate | None, signed: bool = False) -> Cell:
    """A share or F1 in per cent; a dash where it is missing or not defined."""
    return scaled(estimate, 100, 1, signed)


def scaled(estimate: Estimate | None, factor: float = 1, digits: int = 1, signed: bool = False) -> Cell:
    """The estimate in another unit; a dash where it is missing or not defined."""
    if estimate is None or not math.isfinite(estimate.value):
        return NOT_RUN
    value, low, high = (factor * each for each in (estimate.value, estimate.low, estimate.high))
    return Number(replace(estimate, value=value, low=low, high=high), digits, signed)


Rows = Sequence[tuple[tuple[str, ...], Sequence[Cell]]]
"""(names of the row, from the block to the row itself; its cells)"""


def blocks(name: str, caption: str, heads: Sequence[str], rows: Rows, *notes: str) -> Table:
    """A table whose rows stand in blocks: neighbours that share a name of a level share its cell."""
    if not rows:
        return Table(name, caption, pd.DataFrame())
    index = pd.MultiIndex.from_tuples([names for names, _ in rows])
    frame = pd.DataFrame([list(cells) for _, cells in rows], index=index, columns=list(heads), dtype=object)
    return Table(name, caption, frame, notes)


def records(name: str, caption: str, rows: Sequence[Mapping[str, Cell]]) -> Table:
    """A table of words: records, named by their first field."""
    frame = pd.DataFrame(list(rows), dtype=object)
    if len(frame):
        head = frame.columns[0]  # named by the columns, it stands in the row of heads
        frame = frame.set_index(head).rename_axis(index=None, columns=head)
    return Table(name, caption, frame, prose=True)


def code_in_html(text: str) -> str:
    """The text escaped, and what stands in back quotes as code."""
    return _CODE.sub(r"<code>\1</code>", escaped_html(text, 1000))


def _heads(table: str, definitions: list[str]) -> Callable[[object], str]:
    """Sets the heads of a table as HTML, and adds to `definitions` the elements that those of measures show.

    A function, since a Styler copies whatever else it is given, and what it adds would be lost.
    """

    def head(text: object) -> str:
        label = escaped_html(text).replace(" ↑", "&nbsp;↑").replace(" ↓", "&nbsp;↓")
        if not (meaning := definition(str(text))):
            return label
        name = f"{table}-{len(definitions) + 1}"
        definitions.append(f'<div popover id="{name}" class="definition">{escaped_html(meaning, 1000)}</div>')
        return f'<button type="button" class="term" popovertarget="{name}">{label}</button>'

    return head


def _html(cell: Cell) -> str:
    if cell is NOT_RUN:
        return '<span class="dash">\N{EN DASH}</span>'
    if isinstance(cell, Missing):
        return f'<span class="dash" title="{escaped_html(cell.reason)}">\N{EN DASH}</span>'
    if isinstance(cell, Target):
        return f'<span id="run-{escaped_html(cell.run)}">{escaped_html(cell.text)}</span>'
    if isinstance(cell, str):
        return code_in_html(cell)
    tag = {1: "b", 2: "u"}.get(cell.rank, "span")
    value = f"<{tag}>{cell.value()}</{tag}>"
    if runs := [escaped_html(run) for run in cell.estimate.runs.split()]:
        value = f'<a class="runs" href="#run-{runs[0]}" title="{", ".join(runs)}">{value}</a>'
    return f"{value}<small>{cell.interval()}</small>" if cell.interval() else value


def _latex(cell: Cell) -> str:
    if cell is NOT_RUN or isinstance(cell, Missing):
        return "--"
    if isinstance(cell, Target):
        return escaped_latex(cell.text)
    if isinstance(cell, str):
        return _CODE.sub(r"\\texttt{\1}", escaped_latex(cell, 1000))
    command = {1: r"\textbf{%s}", 2: r"\underline{%s}"}.get(cell.rank, "%s")
    text = command % cell.value()
    if cell.interval():
        text += r" {\scriptsize [" + cell.interval().replace(" to ", ", ").replace("\N{EN DASH}", ", ") + "]}"
    return text.replace("\N{MINUS SIGN}", "$-$")
