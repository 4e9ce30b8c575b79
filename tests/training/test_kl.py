"""KL from the start is that of the definition, whatever the batch size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gemvg_repro.miniature.tokenizer import COORDINATE_STEP
from gemvg_repro.models.loading import load
from gemvg_repro.study.variants import FORMS
from gemvg_repro.training import grpo
from gemvg_repro.training.collator import IGNORED, Conversation, ConversationCollator, Turn
from gemvg_repro.training.kl import KLFromStart

from ..tiny_model import folder, model_and_processor, samples
from .made import GRPO


def conversations() -> list[Conversation]:
    return [[Turn(s, mode)] for mode in ("direct", "cot") for s in samples("validation")[:3]]


def test_it_is_the_mean_over_all_labelled_tokens() -> None:
    model, processor = model_and_processor()
    start, _ = load(folder(), "float32")
    collate = ConversationCollator(processor, COORDINATE_STEP)
    whole = collate(conversations())
    by_size = [KLFromStart(model, [collate(conversations()[n : n + k]) for n in range(0, 6, k)]) for k in (6, 4, 1)]
    assert [measure() for measure in by_size] == [0.0, 0.0, 0.0]
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
        inputs = {name: value for name, value in whole.items() if name != "labels"}
        now, before = (m.eval()(**inputs).logits[:, :-1].log_softmax(-1) for m in (model, start))
        kl = (now.exp() * (now - before)).sum(-1)[whole["labels"][:, 1:] != IGNORED].mean()
    model.train()
    assert kl > 0.01
    assert [measure() for measure in by_size] == pytest.approx([float(kl)] * 3, rel=1e-4)
    assert model.training


def test_a_micro_batch_passes_through_the_model_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Seen(Exception):
        pass

    def record_sizes(_: object, batches: Sequence[dict[str, Tensor]]) -> None:
        raise Seen(*(len(batch["input_ids"]) for batch in batches))

    monkeypatch.setattr(grpo, "KLFromStart", record_sizes)
    model, processor = model_and_processor()
    with pytest.raises(Seen) as seen:
        grpo.train_grpo(
            model, processor, samples(), samples("validation")[:3], FORMS["hybrid"], GRPO,
            collate=ConversationCollator(processor, 20), seed=0, folder=tmp_path, record=lambda entry: None,
        )  # fmt: skip
    assert seen.value.args == (4, 2)  # 3 samples in 2 modes
