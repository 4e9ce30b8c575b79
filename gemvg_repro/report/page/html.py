"""How does an executed notebook become a page that can be read, sent and printed by itself?

python -m gemvg_repro.report.page.html runs/report/report.ipynb
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ...files.atomic import write_bytes

STYLE, SCRIPT = (Path(__file__).with_name(name) for name in ("page.css", "page.js"))

FOLDED = "folded"
"""The tag of a markdown cell whose section is closed at first."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body class="report-page">
{contents}
<main>
{body}
</main>
<script>
{script}
</script>
</body>
</html>
"""


@dataclass(frozen=True)
class Section:
    """What stands under a heading of the second level; before the first of them, under none."""

    heading: str
    cells: list[Any]
    folded: bool = False

    @property
    def id(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.heading.lower()).strip("-")

    def html(self, body: str) -> str:
        """The section around its exported cells: folds without a script, too."""
        if not self.heading:
            return body
        summary = f"<summary><h2>{escape(self.heading)}</h2></summary>"
        return f'<details class="section" id="{self.id}"{"" if self.folded else " open"}>{summary}{body}</details>'


def stylesheet() -> str:
    """The style as an element, for a notebook to show its tables and figures in."""
    return f"<style>\n{STYLE.read_text('utf-8')}</style>"


def export_html(notebook: Path) -> Path:
    """Writes the executed notebook, without its code, as a page beside it; returns its path.

    The page holds its images, its style and its scripts, and loads nothing from anywhere. Each heading of the second
    level begins a section that folds, and is in the table of contents.

    Raises:
        FileNotFoundError: there is no such notebook.
        NotWritten: the disk is full; an earlier page is whole.
    """
    import nbformat
    from nbconvert import HTMLExporter  # takes a second to import

    if not notebook.is_file():
        raise FileNotFoundError(f"there is no {notebook}; `python sweeps/launch.py` executes the report into it")
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="basic",
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        embed_images=True,
    )
    whole = nbformat.read(notebook, as_version=4)
    parts = list(sections(whole.cells))
    bodies = []
    for part in parts:
        whole.cells = part.cells
        bodies.append(part.html(exporter.from_notebook_node(whole)[0]))
    heading = re.search(r"<h1[^>]*>(.*?)(?:<a|</h1>)", bodies[0], re.S)
    content = _PAGE.format(
        title=escape(re.sub(r"<[^>]+>", "", heading[1]).strip() if heading else notebook.stem, quote=False),
        style=STYLE.read_text("utf-8"),
        contents=_contents([part for part in parts if part.heading]),
        body="\n".join(bodies),
        script=SCRIPT.read_text("utf-8"),
    )
    page = notebook.with_suffix(".html")
    write_bytes(page, content.encode())
    return page


def sections(cells: list[Any]) -> Iterator[Section]:
    """The cells, divided before every markdown cell that begins with a heading of the second level."""
    section = Section("", [])
    for cell in cells:
        first, _, rest = cell.source.partition("\n")
        if cell.cell_type == "markdown" and first.startswith("## "):
            yield section
            section = Section(first[3:].strip(), [], FOLDED in cell.metadata.get("tags", ()))
            cell.source = rest.strip()
        if cell.source:
            section.cells.append(cell)
    yield section


def _contents(parts: list[Section]) -> str:
    if not parts:
        return ""
    links = "".join(f'<li><a href="#{part.id}">{escape(part.heading)}</a></li>' for part in parts)
    fold = '<button type="button" class="fold" hidden>Unfold all</button>'
    return f'<nav aria-label="Contents">{fold}<ul>{links}</ul></nav>'


if __name__ == "__main__":
    sys.stdout.write(f"{export_html(Path(sys.argv[1]))}\n")
