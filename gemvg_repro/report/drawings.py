"""What do single predictions look like beside the truth?"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from .figures import style
from .gallery import Entry, Row, pixels
from .text import plain
from .variants import KINDS, MODES, PREDICTION, TRUTH

COLUMNS = 3
CARD = (3.75, 2.75)
"""Width and height of the space of one prediction, in inches."""

_PICTURES = (0.62, 1.32)
"""Distance of the pictures from the card's lower edge, and their height, in inches."""

_INSET = 0.12
_LEGEND = 0.3


def drawings(folder: Path, entries: Sequence[Entry]) -> Figure | None:
    """Each entry as a card: query, pictures side by side with truth (solid) and prediction (dashed), answer.

    Args:
        folder: where the entries' pictures lie.
        entries: as read from the gallery; None is returned where there are none.
    """
    if not entries:
        return None
    rows = math.ceil(len(entries) / COLUMNS)
    width, height = CARD[0] * COLUMNS, CARD[1] * rows + _LEGEND
    with style():
        figure = Figure(figsize=(width, height))
        handles = [
            Line2D([], [], color=TRUTH, linewidth=2, label="truth"),
            Line2D([], [], color=PREDICTION, linewidth=1.6, linestyle=(0, (3, 1.5)), label="predicted"),
        ]
        figure.legend(handles=handles, loc="upper left", ncols=2, borderaxespad=0.2)
        for number, entry in enumerate(entries):
            row, column = divmod(number, COLUMNS)
            _card(figure, column * CARD[0], height - _LEGEND - (row + 1) * CARD[1], folder, entry)
    return figure


def _card(figure: Figure, left: float, bottom: float, folder: Path, entry: Entry) -> None:
    """Draws one entry; `left` and `bottom` are the card's corner in inches."""
    width, height = (float(inches) for inches in figure.get_size_inches())

    def place(x: float, y: float, w: float, h: float) -> Axes:
        axes = figure.add_axes(((left + x) / width, (bottom + y) / height, w / width, h / height))
        axes.set_axis_off()
        return axes

    inner = CARD[0] - 2 * _INSET
    above = place(_INSET, sum(_PICTURES) + 0.04, inner, CARD[1] - sum(_PICTURES) - 0.12)
    heading = f"{KINDS.get(entry.kind, plain(entry.kind, 20))}, asked {MODES.get(entry.mode, '')}"
    _write(above, 1, heading, color="#777777", fontsize=7.5)
    _write(above, 0.76, _wrapped(entry.query, 58, 3), fontsize=8.5)
    share = inner / max(1, len(entry.pictures))
    for position, name in enumerate(entry.pictures):
        axes = place(_INSET + position * share, _PICTURES[0], share - 0.06, _PICTURES[1])
        _picture(axes, folder, name, position, entry)
    below = place(_INSET, 0.02, inner, _PICTURES[0] - 0.08)
    _write(below, 1, _wrapped(entry.text, 66, 4), fontsize=6.6, family="monospace", color="#333333")


def _picture(axes: Axes, folder: Path, name: str, position: int, entry: Entry) -> None:
    image = pixels(folder, name)
    height, width = image.shape[:2]
    axes.imshow(
        image, interpolation="nearest" if width < 100 else "antialiased", extent=(0, width, height, 0)
    )
    axes.set_anchor("W")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    for rows, colour, line, dashes in (
        (entry.truth, TRUTH, 2.0, "solid"),
        (entry.predicted, PREDICTION, 1.6, "dashed"),
    ):
        for row in rows:
            if row[0] == position:
                axes.add_patch(_rectangle(row, width, height, colour, line, dashes))
    axes.text(
        0.03, 0.97, str(position + 1), transform=axes.transAxes, va="top", fontsize=7, color="white"
    ).set_bbox({"facecolor": "#333333", "alpha": 0.75, "edgecolor": "none", "boxstyle": "round,pad=0.2"})


def _rectangle(row: Row, width: int, height: int, colour: str, line: float, dashes: str) -> Rectangle:
    _, x1, y1, x2, y2 = row
    corner, size = (x1 * width, y1 * height), ((x2 - x1) * width, (y2 - y1) * height)
    style_ = (0, (3, 1.5)) if dashes == "dashed" else dashes
    return Rectangle(
        corner, *size, fill=False, edgecolor=colour, linewidth=line, linestyle=style_, clip_on=True
    )


def _write(axes: Axes, y: float, text: str, **look: object) -> None:
    # parse_math=False: a "$" in a model's answer is a dollar, not the start of a formula.
    axes.text(0, y, text, transform=axes.transAxes, va="top", ha="left", parse_math=False, **look)  # type: ignore[arg-type]


def _wrapped(text: str, width: int, lines: int) -> str:
    """At most so many lines of so many characters, of characters that the font has."""
    known = get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap()
    shown = "".join(
        c if ord(c) in known else "\N{REPLACEMENT CHARACTER}" for c in plain(text, width * lines - 3 * lines)
    )
    return "\n".join(textwrap.wrap(shown, width, break_on_hyphens=False)[:lines]) or "(empty)"
