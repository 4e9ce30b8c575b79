"""Predictions do not depend on the batch, and every prompt gets one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.grounding.predictions import Prediction
from gemvg_repro.grounding.samples import MODES, Mode
from gemvg_repro.models import decoding, generation
from gemvg_repro.models.decoding import Request
from gemvg_repro.models.generation import Prompt, generate
from gemvg_repro.models.loading import load
from gemvg_repro.study.profiles import load_profile

from ..tiny_model import model_and_processor, samples

LIMITS: dict[Mode, int] = {"direct": 6, "cot": 9}


def predictions(prompts: list[Prompt], batch: int) -> dict[tuple[str, str], Prediction]:
    """Of the package's base, whose best logits are further apart than those of random weights."""
    model, processor = load(Path(load_profile("miniature").base_folder()), "float32")
    batches = list(generate(model, processor, prompts, batch=batch, max_new_tokens={"direct": 24, "cot": 40}))
    assert all(len(each) == batch for each in batches[:-1])
    return {(p.sample, p.mode): p for each in batches for p in each}


def test_predictions_of_a_batch_are_those_of_single_prompts() -> None:
    """Also of several prompts about the same images (three a scene in training), wherever batches are cut."""
    chosen = samples("train")[:15] + samples("test")
    single = {mode: predictions([(s, mode) for s in chosen], 1) for mode in MODES}
    expected = single["direct"] | single["cot"]
    assert expected.keys() == {(s.id, mode) for s in chosen for mode in MODES}
    for batch in (7, 64):
        assert predictions([(s, mode) for mode in MODES for s in chosen], batch) == expected


def test_the_common_prefix_of_prompts_about_the_same_images_is_prefilled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = model_and_processor()
    scene = [s for s in samples("train") if s.scene == samples("train")[0].scene and s.pictures]
    calls = []

    def record(
        model: object,
        prefixes: list[list[int]],
        images: dict[str, Any],
        requests: list[list[Request]],
        *sampling: object,
    ) -> list[list[int]]:
        calls.append((prefixes, images, requests))
        return [[0] for each in requests for _ in each]

    monkeypatch.setattr(decoding, "generate", record)
    prompts: list[Prompt] = [(s, mode) for s in scene for mode in MODES]
    list(generate(model, processor, prompts, batch=len(prompts), max_new_tokens=LIMITS))
    ((prefixes, features, requests),) = calls
    groups = {s.pictures for s in scene}
    assert len(prefixes) == len(groups) < len(prompts)
    assert len(features["image_grid_thw"]) == sum(map(len, groups))
    texts = [generation.prompt_text(processor, *q) for q in generation._by_length(prompts)]
    images = [[p.pixels() for p in s.pictures] for s, _ in generation._by_length(prompts)]
    whole = processor(text=texts, images=images)["input_ids"]
    assert [[*prefix, *r.suffix] for prefix, each in zip(prefixes, requests, strict=True) for r in each] == whole
    assert {r.max_new_tokens for each in requests for r in each} == set(LIMITS.values())


def test_done_predictions_are_left_out_and_the_rest_is_generated_in_its_own_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that an evaluation that was killed has the undisturbed one's predictions to the bit, and generates no more."""
    model, processor = model_and_processor()
    prompts: list[Prompt] = [(s, mode) for s in samples("test")[:8] for mode in MODES]
    whole = list(generate(model, processor, prompts, batch=4, max_new_tokens=LIMITS))
    batches = []
    original = generation._generate_batch

    def recorded(*args: Any) -> list[Prediction]:
        batches.append([(s.id, m) for s, m in args[2]])
        return original(*args)

    monkeypatch.setattr(generation, "_generate_batch", recorded)
    done = {(p.sample, p.mode) for p in [*whole[0], *whole[1][:3], whole[3][1]]}
    again = list(generate(model, processor, prompts, batch=4, max_new_tokens=LIMITS, done=done))
    assert batches == [[(p.sample, p.mode) for p in each] for each in whole[1:]]
    assert again == [whole[1][3:], whole[2], [whole[3][0], *whole[3][2:]]]


def test_the_text_ends_with_the_end_token_and_counts_its_tokens() -> None:
    model, processor = model_and_processor()
    prompts: list[Prompt] = [(s, "cot") for s in samples("test")[:4]]
    for batch in generate(model, processor, prompts, batch=4, max_new_tokens={"cot": 5}):
        for prediction in batch:
            ids = processor.tokenizer(prediction.text, add_special_tokens=False)["input_ids"]
            assert prediction.tokens <= 5
            assert processor.tokenizer.decode(ids) == prediction.text
