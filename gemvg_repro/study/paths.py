"""Where is the project, and what does a relative path count from?"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of gemvg_repro, below which a profile's base and recipe are looked for."""


def project_root(start: Path | None = None) -> Path:
    """The nearest folder from `start` (the working folder) upwards with notebooks/train.ipynb, or `start`."""
    start = (start or Path.cwd()).resolve()
    return next((f for f in (start, *start.parents) if (f / "notebooks" / "train.ipynb").is_file()), start)


def absolute(path: str) -> Path:
    """An absolute path; a relative one counts from the project's root, wherever a notebook happens to run."""
    return project_root() / Path(path).expanduser()
