from pathlib import Path

import pytest

from gemvg_repro.corpora.index import Index
from gemvg_repro.corpora.sources import indexed

from . import made_sources


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small official files of all five sources."""
    return made_sources.everything(tmp_path_factory.mktemp("official"))


@pytest.fixture(scope="session")
def indexes(roots: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Index]:
    folder = tmp_path_factory.mktemp("indexes")
    return {
        name: indexed(name, root, folder / f"{name}.sqlite", look=name in ("mvtrack", "star"))
        for name, root in roots.items()
    }
