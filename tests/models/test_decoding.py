"""What is said is what transformers' generate says, for prompts and pictures of unequal sizes."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import GenerationConfig, Qwen2VLForConditionalGeneration

from gemvg_repro.models.decoding import Speech, Wanted, say
from gemvg_repro.models.generation import prompt_text
from gemvg_repro.models.loading import load
from gemvg_repro.models.processor import ImageOnlyProcessor
from gemvg_repro.study.profiles import load_profile

from ..tiny_model import samples

MOST = 24


@cache
def base() -> tuple[Qwen2VLForConditionalGeneration, ImageOnlyProcessor, Qwen2VLForConditionalGeneration]:
    """The base with the fast paths, its processor, and the base as transformers loads it."""
    place = load_profile("miniature").base_folder()
    return *load(place, "float32"), Qwen2VLForConditionalGeneration.from_pretrained(place)


def prompts(unequal: bool) -> tuple[list[str], list[list[Image.Image]]]:
    """Twelve of the world's questions; `unequal`: with each picture cut to a size of its own."""
    _, processor, _ = base()
    asked = samples("test")[:12]
    images = [[Image.fromarray(p.pixels()) for p in s.pictures] for s in asked]
    if unequal:
        rng = np.random.default_rng(0)
        images = [[i.crop((0, 0, *(16 * rng.integers(1, 5, 2)))) for i in row] for row in images]
    return [prompt_text(processor, s, "direct" if n % 2 else "cot") for n, s in enumerate(asked)], images


def stock_answers(texts: list[str], images: list[list[Image.Image]]) -> list[list[int]]:
    _, processor, stock = base()
    end, pad = processor.tokenizer.eos_token_id, processor.tokenizer.pad_token_id
    how = GenerationConfig(do_sample=False, max_new_tokens=MOST, eos_token_id=end, pad_token_id=pad)
    inputs = processor(text=texts, images=images, padding=True, return_tensors="pt")
    said = stock.generate(**inputs, generation_config=how)[:, inputs["input_ids"].shape[1] :].tolist()
    return [row[: row.index(end) + 1] if end in row else row for row in said]


def our_answers(texts: list[str], images: list[list[Image.Image]], copies: list[int] | None = None) -> list[list[int]]:
    model, processor, _ = base()
    inputs = processor(text=texts, images=images)
    shown = {name: torch.as_tensor(inputs[name]) for name in ("pixel_values", "image_grid_thw")}
    wanted = [[Wanted(MOST)] * n for n in copies or [1] * len(texts)]
    return say(model, inputs["input_ids"], shown, wanted, Speech((processor.tokenizer.eos_token_id,)))


@pytest.mark.parametrize("unequal", [False, True], ids=["world", "unequal"])
def test_greedy_answers_are_those_of_generate(unequal: bool) -> None:
    texts, images = prompts(unequal)
    said = our_answers(texts, images)
    assert said == stock_answers(texts, images)
    assert len({len(row) for row in said}) > 2, "rows should end at different times"


def test_copies_of_a_prompt_say_the_same_and_stand_together() -> None:
    texts, images = prompts(True)
    copies = [1, 3, 2, 1] * 3
    expected = [row for row, n in zip(our_answers(texts, images), copies, strict=True) for _ in range(n)]
    assert our_answers(texts, images, copies) == expected


def test_draws_follow_the_distribution() -> None:
    """First tokens of 500 draws, against the model's own probabilities."""
    texts, images = prompts(True)
    model, processor, _ = base()
    inputs = processor(text=texts[:1], images=images[:1], return_tensors="pt")
    expected = model(**inputs).logits[0, -1].div(1.5).softmax(-1)
    shown = {name: inputs[name] for name in ("pixel_values", "image_grid_thw")}
    torch.manual_seed(0)
    drawn = say(model, inputs["input_ids"].tolist(), shown, [[Wanted(1)] * 500], Speech((0,), temperature=1.5))
    share = torch.bincount(torch.tensor(drawn)[:, 0], minlength=len(expected)) / 500
    assert (share - expected).abs().max() < 4 * (0.25 / 500) ** 0.5


def test_a_seed_draws_by_the_same_chances_wherever_others_end() -> None:
    """An answer that is cut short leaves what is drawn for the others, and after it, as it is."""
    texts, images = prompts(False)
    model, processor, _ = base()
    inputs = processor(text=texts, images=images)
    shown = {name: torch.as_tensor(inputs[name]) for name in ("pixel_values", "image_grid_thw")}
    speech = Speech((processor.tokenizer.eos_token_id,), temperature=1.0)

    def draw(short: bool) -> tuple[list[list[int]], float]:
        torch.manual_seed(0)
        wanted = [[Wanted(1 if short and n % 2 else MOST)] for n in range(len(texts))]
        return say(model, inputs["input_ids"], shown, wanted, speech), float(torch.rand(1))

    whole, after = draw(short=False)
    assert draw(short=True) == ([row[:1] if n % 2 else row for n, row in enumerate(whole)], after)


def test_what_is_never_likely_is_never_drawn() -> None:
    """At both ends of the range of chances, and where much of the vocabulary has no probability."""
    logits = torch.full((3, 5), -torch.inf)
    logits[:, 1], logits[:, 3] = 0.0, 1.0
    chance = torch.tensor([0.0, 0.5, 1 - 2**-24])
    assert Speech((0,), temperature=1.0).choose(logits, chance).tolist() == [1, 3, 3]


def test_a_stem_is_read_once_and_each_answer_has_a_tail_and_a_limit_of_its_own() -> None:
    """Prompts cut at unequal places, also at their ends, some said twice; against generate on each whole prompt."""
    texts, images = prompts(True)
    model, processor, _ = base()
    inputs = processor(text=texts, images=images)
    shown = {name: torch.as_tensor(inputs[name]) for name in ("pixel_values", "image_grid_thw")}
    cuts = [len(ids) - n for n, ids in enumerate(inputs["input_ids"])]
    wanted = [
        [Wanted(most, ids[cut:]) for most in ((MOST,) if n % 3 else (5, MOST))]
        for n, (ids, cut) in enumerate(zip(inputs["input_ids"], cuts, strict=True))
    ]
    stems = [ids[:cut] for ids, cut in zip(inputs["input_ids"], cuts, strict=True)]
    said = say(model, stems, shown, wanted, Speech((processor.tokenizer.eos_token_id,)))
    whole = [(row, w) for row, each in zip(stock_answers(texts, images), wanted, strict=True) for w in each]
    assert said == [row[: w.max_new_tokens] for row, w in whole]
    assert any(len(row) == 5 for row in said), "a limit should have cut an answer short"


def test_answers_that_end_with_their_first_token_leave_the_others_as_they_are() -> None:
    """Before anything is heard there is nothing of the answers to pack."""
    texts, images = prompts(True)
    model, processor, _ = base()
    inputs = processor(text=texts, images=images)
    shown = {name: torch.as_tensor(inputs[name]) for name in ("pixel_values", "image_grid_thw")}
    wanted = [[Wanted(MOST if n == 0 else 1)] for n in range(len(texts))]
    said = say(model, inputs["input_ids"], shown, wanted, Speech((processor.tokenizer.eos_token_id,)))
    assert said == [row if n == 0 else row[:1] for n, row in enumerate(stock_answers(texts, images))]
