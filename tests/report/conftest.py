from pathlib import Path

import pandas as pd
import pytest

from gemvg_repro.report.numbers.collect import Collection, collect
from gemvg_repro.report.numbers.resampling import Draws
from gemvg_repro.report.numbers.table import numbers

from . import synthetic


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All variants but pure direct, one seed; to be read only."""
    folder = tmp_path_factory.mktemp("study") / "runs"
    directories = synthetic.names(variants=["base", "sft", "cot_sft", "cot", "hybrid"])
    synthetic.build(folder, directories, samples=120, choices=30)
    return folder


@pytest.fixture(scope="session")
def collection(runs: Path) -> Collection:
    return collect(runs)


@pytest.fixture(scope="session")
def measured(collection: Collection) -> pd.DataFrame:
    return numbers(collection, Draws(200))
