"""A few hundred predictions of every variant over their images, to filter and to search, within the page."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...grounding.errors import ERROR_KINDS
from ...grounding.samples import GROUNDING_KINDS
from ...runs import gallery
from ...runs.layout import GALLERY
from ..labels import KINDS, MODES, look
from ..numbers.collect import Collection, Run

_PAGE = Path(__file__).parents[1] / "page"
SCRIPT, STYLE = _PAGE / "explorer.js", _PAGE / "explorer.css"

RULE = (
    f"Of each kind of grounding the {gallery.OF_A_KIND} test samples that come first in the order of a hash of their "
    "ids: drawn from the whole test set, the same for every variant, and chosen by no answer. Black: ground truth; "
    "dashed: predicted. An answer is wrong in every way that is named."
)

_CONTROLS = {
    "variant": "Variant", "against": "Only where it disagrees with", "mode": "Prompt", "kind": "Kind",
    "outcome": "Outcome", "error": "Error",
}  # fmt: skip


@dataclass(frozen=True)
class Explorer:
    """The gallery as an element of a page: its data, its filters, and the script that draws the cards."""

    data: Mapping[str, Any]

    def _repr_html_(self) -> str:
        if not self.data["answers"]:
            return '<p class="not-run">Predictions to explore: no evaluation with a gallery is finished yet.</p>'
        selects = "".join(f'<label>{text}<select name="{name}"></select></label>' for name, text in _CONTROLS.items())
        search = '<label>Search<input name="search" type="search" autocomplete="off"></label>'
        return (
            f'<div class="explorer"><style>{STYLE.read_text("utf-8")}</style><p>{RULE}</p>'
            "<noscript><p>This part needs JavaScript; nothing of it is loaded from elsewhere.</p></noscript>"
            f'<div class="controls" hidden><form aria-label="Filter predictions">{selects}{search}</form>'
            '<p class="count" role="status"></p><div class="cards"></div>'
            '<button class="more" type="button">Show more</button></div>'
            f'<script type="application/json">{in_script(self.data)}</script>'
            f"<script>{SCRIPT.read_text('utf-8')}</script></div>"
        )


def in_script(data: Mapping[str, Any]) -> str:
    """JSON as the content of a script element: nothing that is in it can end the element, or begin a comment."""
    text = json.dumps(data, separators=(",", ":"))  # ASCII alone
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def explorer(collection: Collection) -> Explorer:
    """The predictions of each variant's first finished evaluation that has a gallery."""
    runs = _one_a_variant(collection)
    numbers: dict[str, int] = {}
    samples: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    pictures: dict[str, str] = {}
    for run in runs:
        for entry in gallery.read(run.directory / GALLERY):
            if entry.sample not in numbers:
                numbers[entry.sample] = len(samples)
                samples.append(
                    {"id": entry.sample, "kind": KINDS.get(entry.kind, entry.kind), "query": entry.query,
                     "pictures": entry.pictures, "truth": _rounded(entry.truth)}
                )  # fmt: skip
                pictures |= {name: _data_uri(run.directory / GALLERY, name) for name in entry.pictures}
            answers.append(
                {"variant": run.variant, "sample": numbers[entry.sample], "mode": entry.mode, "text": entry.text,
                 "predicted": _rounded(entry.predicted), "reward": entry.reward, "errors": entry.errors}
            )  # fmt: skip
    names = [run.variant for run in runs]
    return Explorer(
        {
            "variants": [{"name": name, "label": look(name).label} for name in names],
            "first": "hybrid" if "hybrid" in names else (names or [""])[-1],
            "modes": [(mode, f"{label} prompt") for mode, label in MODES.items()],
            "kinds": [(KINDS[kind], KINDS[kind]) for kind in GROUNDING_KINDS],
            "errors": ERROR_KINDS, "samples": samples, "answers": answers, "pictures": pictures,
        }
    )  # fmt: skip


def _one_a_variant(collection: Collection) -> list[Run]:
    first: dict[str, Run] = {}
    for run in collection.finished("evaluation"):
        if run.variant not in first and (run.directory / GALLERY / gallery.FILE).is_file():
            first[run.variant] = run
    return list(first.values())


def _rounded(rows: tuple[gallery.Row, ...]) -> list[list[float]]:
    """Corners to a thousandth of the image, the grid of answers."""
    return [[picture, *(round(corner, 3) for corner in box)] for picture, *box in rows]


def _data_uri(folder: Path, name: str) -> str:
    file = gallery.image_file(folder, name)
    form = "jpeg" if file.suffix == ".jpeg" else "png"
    return f"data:image/{form};base64,{base64.b64encode(file.read_bytes()).decode()}"
