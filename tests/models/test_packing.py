"""Padding-free batches have the hidden states and gradients of transformers' padded ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Qwen2VLForConditionalGeneration

from gemvg_repro.models.families import FAMILIES, QWEN2_VL, Family
from gemvg_repro.models.images import repeated
from gemvg_repro.models.loading import save
from gemvg_repro.training.collator import ConversationCollator, Turn

from ..tiny_families import model_and_processor, stock
from ..tiny_model import samples


@pytest.mark.parametrize("pictured", [True, False], ids=["pictures", "text"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_states_and_gradients_are_the_stock_ones(family: Family, pictured: bool) -> None:
    ours, processor = model_and_processor(family)
    conversations = [[Turn(s, "direct"), *[Turn(s, "cot")] * (n % 3)] for n, s in enumerate(samples()[:6])]
    batch = ConversationCollator(processor, 20)(conversations)
    del batch["labels"]
    if not pictured:
        batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
        batch["input_ids"] = batch["input_ids"].masked_fill(batch["input_ids"] == ours.config.image_token_id, 5)
    mask = batch["attention_mask"].bool()
    assert not mask.all()
    results = []
    for model, inputs in ((stock(family), {**batch, **repeated(batch)} if pictured else batch), (ours, batch)):
        out = model.model(**inputs, use_cache=False, output_hidden_states=True)
        weight = torch.linspace(-1, 1, out.last_hidden_state.numel()).view_as(out.last_hidden_state)
        (out.last_hidden_state * weight * mask[..., None]).sum().backward()
        states = [s.detach()[mask] for s in (out.last_hidden_state, *out.hidden_states)]
        results.append((states, {n: p.grad for n, p in model.named_parameters()}))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-4, atol=1e-5)
    for name, gradient in results[0][1].items():
        torch.testing.assert_close(results[1][1][name], gradient, rtol=1e-3, atol=1e-3, msg=name)


def test_other_batches_are_left_to_transformers() -> None:
    """Padding on the left, and a pass that fills a cache."""
    ours, _ = model_and_processor(QWEN2_VL)
    ids = torch.arange(12).view(2, 6) + 20
    for mask, use_cache in ((torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6]), False), (torch.ones(2, 6).long(), True)):
        outputs = [m.model(input_ids=ids, attention_mask=mask, use_cache=use_cache) for m in (ours, stock(QWEN2_VL))]
        torch.testing.assert_close(*(o.last_hidden_state[mask.bool()] for o in outputs))
        assert (outputs[0].past_key_values is not None) == use_cache


def test_a_saved_checkpoint_names_no_attention_of_ours(tmp_path: Path) -> None:
    model, processor = model_and_processor(QWEN2_VL)
    save(model, processor, tmp_path / "model")
    assert "sdpa_by_row" not in (tmp_path / "model" / "config.json").read_text()
    assert Qwen2VLForConditionalGeneration.from_pretrained(tmp_path / "model").config._attn_implementation == "sdpa"
