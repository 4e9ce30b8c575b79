"""How does a figure get onto the page and into files, always the same?"""

from __future__ import annotations

import base64
import io
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure

from ...files.atomic import write_bytes
from .escaping import escaped_html

STYLE = Path(__file__).with_name("style.mplstyle")


@dataclass(frozen=True)
class Picture:
    """A figure as a notebook shows it: its PNG under its caption. Without `png`, that it has not been run."""

    caption: str
    png: bytes = b""

    def _repr_html_(self) -> str:
        caption = escaped_html(self.caption, 1000)
        if not self.png:
            return f'<p class="not-run">{caption} Not run yet.</p>'
        data = base64.b64encode(self.png).decode()
        image = f'<img src="data:image/png;base64,{data}" alt="{caption}">'
        return f'<figure class="report"><figcaption>{caption}</figcaption>{image}</figure>'


def style() -> AbstractContextManager[None]:
    """Within it figures have the report's look, whatever the machine's matplotlibrc says."""
    return matplotlib.style.context(STYLE, after_reset=True)


def save(figure: Figure, out: Path, name: str, caption: str) -> Picture:
    """Writes out/figures/<name>.pdf and .png; the same figure gives the same bytes."""
    folder = out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    pdf, pixels = io.BytesIO(), png(figure)
    with style():
        figure.savefig(pdf, format="pdf", metadata={"CreationDate": None}, bbox_inches="tight")
    write_bytes(folder / f"{name}.pdf", pdf.getvalue())
    write_bytes(folder / f"{name}.png", pixels)
    return Picture(caption, pixels)


def png(figure: Figure) -> bytes:
    """The figure as a PNG file in the report's look; the same figure gives the same bytes."""
    content = io.BytesIO()
    with style():
        figure.savefig(content, format="png", metadata={"Software": None}, bbox_inches="tight")
    return content.getvalue()
