"""Curves in a notebook: one output that is replaced while the block runs, and is the whole log's in the end."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.report import training_curves
from gemvg_repro.report.numbers.collect import log_of
from gemvg_repro.report.page.figure import Picture


class Shown:
    """A display of IPython, as far as it is used."""

    def __init__(self) -> None:
        self.pictures: list[Picture] = []
        self.came = threading.Event()

    def update(self, picture: Picture) -> None:
        self.pictures.append(picture)
        self.came.set()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    it = Shown()
    monkeypatch.setattr(training_curves, "display", lambda *_, **__: it)
    return it


def write(run: Path, steps: int) -> None:
    rows: list[dict[str, Any]] = [{"step": n, "total_steps": 40, "reward": n / 40} for n in range(1, steps + 1)]
    lines = [json.dumps(row | ({"greedy/f1/cot": 0.5} if row["step"] % 5 == 0 else {})) for row in rows]
    (run / "log.jsonl").write_text("\n".join([*lines, '{"step": 41, "rew']))


def test_they_move_while_the_block_runs(tmp_path: Path, shown: Shown) -> None:
    write(tmp_path, 10)
    with training_curves.moving(tmp_path, every_s=0.01):
        assert shown.came.wait(30), "a picture while it trains"
        write(tmp_path, 40)
    assert "Step 10 of 40" in shown.pictures[0].caption and "Step 40 of 40" in shown.pictures[-1].caption
    assert all(picture.png.startswith(b"\x89PNG") for picture in shown.pictures)


def test_a_failure_is_the_training_s_own_and_without_steps_there_is_none(tmp_path: Path, shown: Shown) -> None:
    with pytest.raises(ValueError, match="of the training"), training_curves.moving(tmp_path, every_s=0.01):
        raise ValueError("of the training")
    assert not shown.pictures and not len(log_of(tmp_path))
