"""How does an executed notebook become a page that can be read, sent and printed by itself?

python -m gemvg_repro.report.page.html runs/report/report.ipynb
"""

from __future__ import annotations

import re
import sys
from html import escape
from pathlib import Path

from ...files.atomic import write_bytes

STYLE = Path(__file__).with_name("page.css")

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
{body}
</body>
</html>
"""


def stylesheet() -> str:
    """The style as an element, for a notebook to show its tables and figures in."""
    return f"<style>\n{STYLE.read_text('utf-8')}</style>"


def export_html(notebook: Path) -> Path:
    """Writes the executed notebook, without its code, as a page beside it; returns its path.

    The page holds its images, its style and the one script of its gallery, and loads nothing from anywhere.

    Raises:
        FileNotFoundError: there is no such notebook.
        NotWritten: the disk is full; an earlier page is whole.
    """
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
    body, _ = exporter.from_filename(str(notebook))
    heading = re.search(r"<h1[^>]*>(.*?)(?:<a|</h1>)", body, re.S)
    title = escape(re.sub(r"<[^>]+>", "", heading[1]).strip() if heading else notebook.stem, quote=False)
    page = notebook.with_suffix(".html")
    write_bytes(page, _PAGE.format(title=title, style=STYLE.read_text("utf-8"), body=body).encode())
    return page


if __name__ == "__main__":
    sys.stdout.write(f"{export_html(Path(sys.argv[1]))}\n")
