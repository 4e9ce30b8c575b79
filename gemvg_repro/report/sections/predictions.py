"""What do single predictions look like beside the ground truth?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke

from ...grounding.answers import format_answer
from ...grounding.samples import GROUNDING_KINDS, Mode, Sample
from ...runs import gallery
from ...runs.gallery import Entry, Pixels, pixels, read
from ...runs.layout import GALLERY
from ..labels import CONTROLS, KINDS, MODES, PREDICTION, TRUTH, look
from ..numbers.collect import Collection
from ..page.escaping import plain
from ..page.figure import Picture, save, style

COLUMNS = 3
CARD = (3.75, 2.55)
"""Width and height of the space of one prediction, in inches."""

_BELOW, _PICTURES, _GAP, _INSET, _LEGEND = 0.62, 1.2, 0.06, 0.1, 0.3
"""In inches: space for the answer, height of the pictures, between two, around all, for the legend."""

FREE_TEXT = "conversation, free text"
"""What a sample of understanding is called whose answer is no letter."""

SANS, MONO = "DejaVu Sans", "DejaVu Sans Mono"
"""Fonts that come with matplotlib: the same drawing everywhere."""

_TRUTH: dict[str, Any] = {"edgecolor": TRUTH, "linewidth": 1.6}
_PREDICTED: dict[str, Any] = {"edgecolor": PREDICTION, "linewidth": 1.6, "linestyle": (0, (3, 1.5))}

_HALO = [Stroke(linewidth=3.2, foreground="white"), Normal()]
"""Makes a line visible on any image."""


def drawings(collection: Collection, out: Path) -> Picture:
    """The gallery of hybrid if there is one, else of the last variant in order; of a control if there is no other."""
    caption = "Predictions and ground truth."
    last_first = reversed(collection.finished("evaluation"))
    for run in sorted(last_first, key=lambda run: (run.variant != "hybrid", run.variant in CONTROLS)):
        if entries := read(run.directory / GALLERY):
            seed = "" if run.seed is None else f" (seed {run.seed})"
            caption = f"Predictions of {look(run.variant).label}{seed} and ground truth."
            return save(draw(run.directory / GALLERY, twelve(entries)), out, "predictions", caption)
    return Picture(caption)


def twelve(entries: Sequence[Entry]) -> list[Entry]:
    """Those of a gallery that are drawn, whatever was answered: of each kind the first two samples, one in each mode;
    then the first other sample without any target directly, and the first other one with several in CoT mode."""
    by_sample: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        by_sample.setdefault(entry.sample, {})[entry.mode] = entry
    whole = [modes for modes in by_sample.values() if modes.keys() >= {*MODES}]
    chosen: list[Entry] = []
    for kind in GROUNDING_KINDS:
        of_kind = [modes for modes in whole if modes["direct"].kind == kind]
        chosen += [modes[mode] for modes, mode in zip(of_kind, MODES, strict=False)]
    taken = {entry.sample for entry in chosen}
    rest = [modes for modes in whole if modes["direct"].sample not in taken]
    chosen += [modes["direct"] for modes in rest if not modes["direct"].truth][:1]
    return chosen + [modes["cot"] for modes in rest if len(modes["cot"].truth) > 1][:1]


def draw_samples(samples: Sequence[Sample], mode: Mode = "direct") -> Figure:
    """Samples as cards with the expected answer: images, query, every target with its box."""
    answers = [(sample, mode, sample.text or sample.choice or format_answer(sample.targets)) for sample in samples]
    with TemporaryDirectory() as folder:
        written = gallery.write(Path(folder), answers)
        entries = zip([replace(entry, predicted=()) for entry in read(written.parent)], samples, strict=True)
        free = [replace(e, kind=FREE_TEXT, mode="") if s.text is not None else e for e, s in entries]  # no mode prompt
        return draw(written.parent, free)


def draw(folder: Path, entries: Sequence[Entry]) -> Figure:
    """Each entry as a card: query, images side by side with ground truth (solid) and prediction (dashed), response.

    Args:
        folder: of the entries' images.
        entries: as read from the gallery.
    """
    columns = min(COLUMNS, len(entries))
    rows = math.ceil(len(entries) / columns)
    width, height = CARD[0] * columns, CARD[1] * rows + _LEGEND
    with style():
        figure = Figure(figsize=(width, height))
        truth = Line2D([], [], color=TRUTH, linewidth=1.6, label="ground truth")
        predicted = Line2D([], [], color=PREDICTION, linewidth=1.6, linestyle=(0, (3, 1.5)), label="predicted")
        handles = [truth, predicted] if any(entry.truth for entry in entries) else [predicted]
        figure.legend(handles=handles, loc="upper left", ncols=2, borderaxespad=0.2)
        for number, entry in enumerate(entries):
            row, column = divmod(number, columns)
            _card(figure, column * CARD[0], height - _LEGEND - (row + 1) * CARD[1], folder, entry)
    return figure


def _card(figure: Figure, left: float, bottom: float, folder: Path, entry: Entry) -> None:
    """Draws one entry; `left` and `bottom` are the card's corner in inches."""
    width, height = (float(inches) for inches in figure.get_size_inches())

    def place(x: float, y: float, w: float, h: float) -> Axes:
        axes = figure.add_axes(((left + x) / width, (bottom + y) / height, w / width, h / height))
        axes.set_axis_off()
        return axes

    inner, top = CARD[0] - 2 * _INSET, _BELOW + _PICTURES
    above = place(_INSET, top + 0.04, inner, CARD[1] - top - 0.12)
    prompt = f", {MODES[entry.mode]} prompt" if entry.mode in MODES else ""
    kinds = {**KINDS, FREE_TEXT: FREE_TEXT}
    heading = kinds.get(entry.kind, _drawable(entry.kind, 20, SANS)) + prompt
    _write(above, 1, heading, family=SANS, color="#777777", fontsize=7.5)
    _write(above, 0.76, _wrapped(entry.query, inner * figure.dpi, 3, SANS, 8.5, figure.dpi), family=SANS, fontsize=8.5)
    images = [pixels(folder, name) for name in entry.pictures]
    shapes = [image.shape[1] / image.shape[0] for image in images]
    tall = min(_PICTURES, (inner - _GAP * (len(images) - 1)) / sum(shapes)) if images else 0
    x = _INSET
    for position, (image, shape) in enumerate(zip(images, shapes, strict=True)):
        _picture(place(x, top - tall, tall * shape, tall), image, position, entry)
        x += tall * shape + _GAP
    below = place(_INSET, 0, inner, top - tall - 0.07)
    _write(
        below,
        1,
        _wrapped(entry.text, inner * figure.dpi, 4, MONO, 6.6, figure.dpi),
        family=MONO,
        fontsize=6.6,
        color="#333333",
    )


def _picture(axes: Axes, image: Pixels, position: int, entry: Entry) -> None:
    height, width = image.shape[:2]
    axes.imshow(image, interpolation="nearest" if width < 100 else "antialiased", extent=(0, width, height, 0))
    for rows, look_ in ((entry.truth, _TRUTH), (entry.predicted, _PREDICTED)):
        for picture, x1, y1, x2, y2 in rows:
            if picture == position:
                corner, size = (x1 * width, y1 * height), ((x2 - x1) * width, (y2 - y1) * height)
                axes.add_patch(Rectangle(corner, *size, fill=False, path_effects=_HALO, **look_))
    axes.text(0.03, 0.97, str(position + 1), transform=axes.transAxes, va="top", fontsize=7, color="white").set_bbox(
        {"facecolor": "#333333", "alpha": 0.75, "edgecolor": "none", "boxstyle": "round,pad=0.2"}
    )


def _write(axes: Axes, y: float, text: str, **look_: Any) -> None:
    # parse_math=False: a "$" in a model's answer is a dollar, not the start of a formula.
    axes.text(0, y, text, transform=axes.transAxes, va="top", ha="left", parse_math=False, **look_)


def _wrapped(text: str, width: float, lines: int, font: str, size: float, dpi: float) -> str:
    """At most so many lines of so many pixels, in a font of so many points; a longer text loses its middle."""
    drawn = (dpi, 10 * dpi)  # on a screen, where a letter's width is rounded to whole pixels, and in print
    renderers: list[Any] = [cast(Any, RendererAgg)(1, 1, each) for each in drawn]  # as untyped in matplotlib
    properties = FontProperties(family=font, size=size)

    def measure(line: str) -> float:
        widths = (renderer.get_text_width_height_descent(line, properties, False)[0] for renderer in renderers)
        return max(float(width) * dpi / each for width, each in zip(widths, drawn, strict=True))

    limit = lines * int(width / measure("n"))
    while limit:
        wrapped = _lines(_drawable(text, limit, font), width, measure)
        if len(wrapped) <= lines:
            return "\n".join(wrapped) or "(empty)"
        limit = limit * 9 // 10
    return "…"


def _lines(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """The text in lines of at most so many pixels, broken at spaces, within a word only if it is longer than a line."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and measure(joined) <= width:
            lines[-1] = joined
            continue
        lines.append("")
        for character in word:
            if measure(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    return lines


def _drawable(text: str, limit: int, font: str) -> str:
    """The text with characters that the font lacks as replacement characters."""
    charmap = get_font(findfont(FontProperties(family=font))).get_charmap()
    return "".join(c if ord(c) in charmap else "\N{REPLACEMENT CHARACTER}" for c in plain(text, limit))
