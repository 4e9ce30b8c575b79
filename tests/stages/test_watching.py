"""Greedy answers are measured from the start on, in the log of every stage, and training does not depend on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from gemvg_repro.stages.watching import GreedyWatch
from gemvg_repro.study.parameters import TrainParameters
from gemvg_repro.study.profiles import WatchSettings, load_profile
from gemvg_repro.study.spec import Resolver
from gemvg_repro.study.variants import FORMS
from gemvg_repro.training.collator import ConversationCollator
from gemvg_repro.training.conversations import training_conversations
from gemvg_repro.training.grpo import train_grpo
from gemvg_repro.training.sft import train_sft

from ..tiny_model import model_and_processor, samples
from ..training.made import GRPO, SFT


@pytest.mark.parametrize(("mode", "every", "steps"), [("hybrid", 3, [0, 3, 4]), ("sft", 4, [0, 4, 6])])
def test_a_training_is_watched(mode: str, every: int, steps: list[int], tmp_path: Path) -> None:
    profile = load_profile("miniature")
    evaluate = profile.evaluate.model_copy(update={"max_new_tokens": {"direct": 6, "cot": 6}})
    watching = WatchSettings(samples=3, every=dict.fromkeys(("sft", "cot_sft", "grpo"), every))
    profile = profile.model_copy(update={"watching": watching, "evaluate": evaluate})
    spec = Resolver(lambda name, _: profile)(TrainParameters.check({"mode": mode, "runs": str(tmp_path)}))
    weights = []
    for watched in (True, False) if mode == "hybrid" else (True,):
        model, processor = model_and_processor()
        collate, log = ConversationCollator(processor, 20), list[dict[str, Any]]()
        settings = GRPO if mode == "hybrid" else SFT
        watch = GreedyWatch(spec, model, processor, samples("validation"), settings)
        more: dict[str, Any] = {"collate": collate, "seed": 0, "folder": tmp_path / str(watched), "record": log.append}
        more |= {"watch": watch} if watched else {}
        if mode == "hybrid":
            train_grpo(model, processor, samples(), samples("validation")[:2], FORMS[mode], GRPO, **more)
        else:
            train_sft(model, processor, training_conversations(samples(), SFT, 0), SFT, **more)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        names = {f"greedy/{measure}/{mode}" for measure in ("f1", "reward") for mode in ("direct", "cot")}
        assert [entry["step"] for entry in log if names <= set(entry)] == (steps if watched else [])
        assert len(log) == settings.steps + (watched and bool(steps))
    assert all(torch.equal(each, weights[0]) for each in weights)
