"""Completions are those of transformers' generate, for prompts and images of unequal sizes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import GenerationConfig, Qwen2VLForConditionalGeneration

from gemvg_repro.miniature.model import save_random
from gemvg_repro.models.decoding import Request, SamplingParams, generate, uniform_numbers
from gemvg_repro.models.families import FAMILIES, Family
from gemvg_repro.models.generation import prompt_text
from gemvg_repro.models.loading import load
from gemvg_repro.models.processor import ImageOnlyProcessor
from gemvg_repro.study.profiles import load_profile

from ..tiny_families import model_and_processor, stock
from ..tiny_model import SIZES, samples

MOST = 24


@cache
def base() -> tuple[Qwen2VLForConditionalGeneration, ImageOnlyProcessor, Qwen2VLForConditionalGeneration]:
    """The base with the fast paths, its processor, and the base as transformers loads it."""
    folder = load_profile("miniature").base_folder()
    return *load(Path(folder), "float32"), Qwen2VLForConditionalGeneration.from_pretrained(folder)


def prompts(unequal: bool) -> tuple[list[str], list[list[Image.Image]]]:
    """Twelve of the world's questions; `unequal`: with each picture cut to a size of its own."""
    _, processor, _ = base()
    chosen = samples("test")[:12]
    images = [[Image.fromarray(p.pixels()) for p in s.pictures] for s in chosen]
    if unequal:
        rng = np.random.default_rng(0)
        images = [[i.crop((0, 0, *(16 * rng.integers(1, 5, 2)))) for i in row] for row in images]
    return [prompt_text(processor, s, "direct" if n % 2 else "cot") for n, s in enumerate(chosen)], images


def stock_completions(
    texts: list[str], images: list[list[Image.Image]], model_and_processor: Any = None
) -> list[list[int]]:
    stock, processor = model_and_processor or base()[:0:-1]
    end, pad = processor.tokenizer.eos_token_id, processor.tokenizer.pad_token_id
    config = GenerationConfig(do_sample=False, max_new_tokens=MOST, eos_token_id=end, pad_token_id=pad)
    inputs = processor(text=texts, images=images, padding=True, return_tensors="pt")
    completions = stock.generate(**inputs, generation_config=config)[:, inputs["input_ids"].shape[1] :].tolist()
    return [row[: row.index(end) + 1] if end in row else row for row in completions]


def our_completions(
    texts: list[str],
    images: list[list[Image.Image]],
    copies: list[int] | None = None,
    model_and_processor: Any = None,
) -> list[list[int]]:
    model, processor = model_and_processor or base()[:2]
    inputs = processor(text=texts, images=images)
    features = {name: torch.as_tensor(inputs[name]) for name in ("pixel_values", "image_grid_thw")}
    requests = [[Request(MOST)] * n for n in copies or [1] * len(texts)]
    return generate(model, inputs["input_ids"], features, requests, SamplingParams((processor.tokenizer.eos_token_id,)))


@pytest.mark.parametrize("unequal", [False, True], ids=["world", "unequal"])
def test_greedy_completions_are_those_of_transformers(unequal: bool) -> None:
    texts, images = prompts(unequal)
    completions = our_completions(texts, images)
    assert completions == stock_completions(texts, images)
    assert len({len(row) for row in completions}) > 2, "rows should finish at different times"


def test_copies_of_a_prompt_have_one_completion_and_stand_together() -> None:
    texts, images = prompts(True)
    copies = [1, 3, 2, 1] * 3
    expected = [row for row, n in zip(our_completions(texts, images), copies, strict=True) for _ in range(n)]
    assert our_completions(texts, images, copies) == expected


def test_heads_that_share_keys_complete_as_in_transformers(tmp_path: Path) -> None:
    """Qwen2-VL-7B's seven heads to one of keys and values, three completions to a row; the base shares none."""
    texts, images = prompts(True)
    save_random(tmp_path / "model", replace(SIZES, hidden=56, heads=7, key_value_heads=1), 0)
    model, processor = load(tmp_path / "model", "float32")
    stock = Qwen2VLForConditionalGeneration.from_pretrained(tmp_path / "model")
    for weights in (*model.model.language_model.layers.parameters(), *stock.model.language_model.layers.parameters()):
        weights.data *= 10  # as initialised, every answer repeats one token
    completions = our_completions(texts, images, [3] * len(texts), (model, processor))
    expected = stock_completions(texts, images, (stock, processor))
    assert completions == [row for row in expected for _ in range(3)]
    assert len({token for row in expected for token in row}) > 5


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_each_family_completes_as_in_transformers_in_a_batch_and_alone(family: Family) -> None:
    texts, images = prompts(True)
    ours, processor = model_and_processor(family)
    theirs = stock(family)
    for weights in (*ours.model.language_model.layers.parameters(), *theirs.model.language_model.layers.parameters()):
        weights.data *= 10
    completions = our_completions(texts, images, [2] * len(texts), (ours, processor))
    assert completions == [row for row in stock_completions(texts, images, (theirs, processor)) for _ in range(2)]
    alone = [
        our_completions([text], [row], None, (ours, processor))[0] for text, row in zip(texts, images, strict=True)
    ]
    assert completions[::2] == alone
    assert len({token for row in completions for token in row}) > 5


def test_samples_follow_the_distribution() -> None:
    """First tokens of 500 sampled completions, against the model's own probabilities."""
    texts, images = prompts(True)
    model, processor, _ = base()
    inputs = processor(text=texts[:1], images=images[:1], return_tensors="pt")
    expected = model(**inputs).logits[0, -1].div(1.5).softmax(-1)
    features = {name: inputs[name] for name in ("pixel_values", "image_grid_thw")}
    sampling = SamplingParams((0,), temperature=1.5)
    uniforms = uniform_numbers("", 500, 1)
    sampled = generate(model, inputs["input_ids"].tolist(), features, [[Request(1)] * 500], sampling, uniforms)
    share = torch.bincount(torch.tensor(sampled)[:, 0], minlength=len(expected)) / 500
    assert (share - expected).abs().max() < 4 * (0.25 / 500) ** 0.5


def test_the_same_numbers_sample_the_same_wherever_others_finish() -> None:
    """A completion that is cut short does not change the others."""
    texts, images = prompts(False)
    model, processor, _ = base()
    inputs = processor(text=texts, images=images)
    features = {name: torch.as_tensor(inputs[name]) for name in ("pixel_values", "image_grid_thw")}
    sampling = SamplingParams((processor.tokenizer.eos_token_id,), temperature=1.0)

    uniforms = uniform_numbers("", len(texts), MOST)

    def draw(short: bool) -> list[list[int]]:
        requests = [[Request(1 if short and n % 2 else MOST)] for n in range(len(texts))]
        return generate(model, inputs["input_ids"], features, requests, sampling, uniforms)

    whole = draw(short=False)
    assert draw(short=True) == [row[:1] if n % 2 else row for n, row in enumerate(whole)]


def test_tokens_of_probability_zero_are_never_sampled() -> None:
    """At both ends of the range of uniform numbers, and where much of the vocabulary has no probability."""
    logits = torch.full((3, 5), -torch.inf)
    logits[:, 1], logits[:, 3] = 0.0, 1.0
    uniforms = torch.tensor([0.0, 0.5, 1 - 2**-24])
    assert SamplingParams((0,), temperature=1.0).sample(logits, uniforms).tolist() == [1, 3, 3]


def test_a_prefix_is_shared_and_each_completion_has_a_suffix_and_a_limit_of_its_own() -> None:
    """Prompts cut at unequal places, also at their ends, some requested twice; against whole prompts."""
    texts, images = prompts(True)
    model, processor, _ = base()
    inputs = processor(text=texts, images=images)
    features = {name: torch.as_tensor(inputs[name]) for name in ("pixel_values", "image_grid_thw")}
    cuts = [len(ids) - n for n, ids in enumerate(inputs["input_ids"])]
    requests = [
        [Request(most, ids[cut:]) for most in ((MOST,) if n % 3 else (5, MOST))]
        for n, (ids, cut) in enumerate(zip(inputs["input_ids"], cuts, strict=True))
    ]
    prefixes = [ids[:cut] for ids, cut in zip(inputs["input_ids"], cuts, strict=True)]
    completions = generate(model, prefixes, features, requests, SamplingParams((processor.tokenizer.eos_token_id,)))
    whole = [(row, w) for row, each in zip(stock_completions(texts, images), requests, strict=True) for w in each]
    assert completions == [row[: w.max_new_tokens] for row, w in whole]
    assert any(len(row) == 5 for row in completions), "a limit should have cut a completion short"


def test_completions_of_one_token_leave_the_others_as_they_are() -> None:
    """Before the first decoding step the cache has nothing of the completions to compact."""
    texts, images = prompts(True)
    model, processor, _ = base()
    inputs = processor(text=texts, images=images)
    features = {name: torch.as_tensor(inputs[name]) for name in ("pixel_values", "image_grid_thw")}
    requests = [[Request(MOST if n == 0 else 1)] for n in range(len(texts))]
    completions = generate(
        model, inputs["input_ids"], features, requests, SamplingParams((processor.tokenizer.eos_token_id,))
    )
    assert completions == [row if n == 0 else row[:1] for n, row in enumerate(stock_completions(texts, images))]
