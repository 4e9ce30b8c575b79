from pathlib import Path

import pytest

from gemvg_repro.corpora.index import Index
from gemvg_repro.corpora.sources import index_source

from . import made_sources


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small official files of all five sources."""
    return made_sources.everything(tmp_path_factory.mktemp("official"))


@pytest.fixture(scope="session")
def indexes(roots: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Index]:
    folder = tmp_path_factory.mktemp("indexes")
    return {
        name: index_source(name, root, folder / f"{name}.sqlite", check_files=name in ("mvtrack", "star"))
        for name, root in roots.items()
    }
