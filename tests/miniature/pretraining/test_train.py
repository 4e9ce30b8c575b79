"""Pre-training of the base, in a few steps: interrupted, it resumes to bit-identical weights."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from gemvg_repro.miniature.model import BASE
from gemvg_repro.miniature.pretraining import train

RECIPE = train.RECIPE
TINY = {
    name: replace(phase, steps=4, conversations=2, optimiser=replace(phase.optimiser, warmup_steps=1))
    for name, phase in RECIPE.items()
}


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "RECIPE", TINY)
    monkeypatch.setattr(train, "SAVE_EVERY", 2)
    monkeypatch.setattr(train, "THREADS", 1)
    monkeypatch.setattr(train, "CURVE_EVERY", 2)
    monkeypatch.setattr(train, "evaluate", lambda model, processor: {"single/f1": 0.5, "single/recall": 0.25})


@pytest.mark.parametrize("stop", [8, 16])
def test_resumed_is_undisturbed(stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "whole").mkdir()
    whole = train.pretrain(tmp_path / "whole")

    steps = 0
    step = train._step

    def interrupted(*arguments: object) -> dict[str, float]:
        nonlocal steps
        steps += 1
        if steps == stop:  # in the fourth step of the second or the last phase, two steps after a checkpoint
            raise KeyboardInterrupt
        return step(*arguments)  # type: ignore[arg-type]

    (tmp_path / "stopped").mkdir()
    monkeypatch.setattr(train, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.pretrain(tmp_path / "stopped")
    assert train.pretrain(tmp_path / "stopped") == whole
    assert train.pretrain(tmp_path / "stopped") == whole, "finished: loaded, not trained again"
    curves = [(tmp_path / name / "model" / train.CURVE).read_text() for name in ("whole", "stopped")]
    assert curves[0] == curves[1]
    rows = pd.read_csv(tmp_path / "whole" / "model" / train.CURVE)
    assert [*zip(rows["phase"], rows["step"], strict=True)] == [(name, step) for name in TINY for step in (2, 4)]
    assert list(rows["single/f1"]) == [0.5] * 8 and "single/recall" not in rows


def test_a_base_is_compared_with_the_shipped_one(tmp_path: Path) -> None:
    made = Path(shutil.copytree(BASE, tmp_path / "made"))
    assert "equal to the shipped ones, to the bit" in train.comparison(made)
    weights = load_file(made / "model.safetensors")
    weights[min(weights)][0] += 0.25
    save_file(weights, made / "model.safetensors", {"format": "pt"})
    (made / "metrics.json").write_text(json.dumps(json.loads((BASE / "metrics.json").read_text()) | {"single/f1": 0.5}))
    lines = train.comparison(made).splitlines()
    assert lines[0] == "weights: at most 0.25 from the shipped ones"
    assert re.fullmatch(r"single/f1 +0\.5000 +0\.9\d+", lines[2])


def test_the_shipped_curve_is_of_the_whole_recipe() -> None:
    rows = pd.read_csv(BASE / train.CURVE)
    whole = rows.groupby("phase", sort=False)["step"].max().to_dict()
    assert whole == {name: phase.steps for name, phase in RECIPE.items()}
    assert rows["single/f1"].iloc[-1] > 0.9 > rows["several/f1"].iloc[-1]
    assert rows["known"].iloc[-1] > 0.8
