"""Answers do not hang on the batch nor on what else is asked, and every question gets one."""

from __future__ import annotations

import pytest

from gemvg_repro.grounding.predictions import Prediction
from gemvg_repro.grounding.samples import MODES
from gemvg_repro.models import generation
from gemvg_repro.models.generation import Question, answer
from gemvg_repro.models.loading import load
from gemvg_repro.study.profiles import load_profile

from ..tiny_model import model_and_processor, samples

LIMITS = {"direct": 6, "cot": 9}


def told(questions: list[Question], batch: int) -> dict[tuple[str, str], Prediction]:
    """What the package's base answers: its best logits are further apart than those of random weights."""
    model, processor = load(load_profile("miniature").base_folder(), "float32")
    batches = list(answer(model, processor, questions, batch=batch, max_new_tokens={"direct": 24, "cot": 40}))
    assert all(len(each) == batch for each in batches[:-1])
    return {(p.sample, p.mode): p for each in batches for p in each}


def test_batches_and_both_modes_together_answer_as_single_prompts_do() -> None:
    """Several questions about the same pictures (the training split has three a scene), whatever a batch cuts apart."""
    asked = samples("train")[:15] + samples("test")
    single = {mode: told([(s, mode) for s in asked], 1) for mode in MODES}
    expected = single["direct"] | single["cot"]
    assert expected.keys() == {(s.id, mode) for s in asked for mode in MODES}
    for batch in (7, 64):
        assert told([(s, mode) for mode in MODES for s in asked], batch) == expected


def test_what_prompts_about_the_same_pictures_begin_with_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = model_and_processor()
    scene = [s for s in samples("train") if s.scene == samples("train")[0].scene and s.pictures]
    read = []

    def say(model: object, stems: list[list[int]], pictures: dict, wanted: list, speech: object) -> list[list[int]]:
        read.append((stems, pictures, wanted))
        return [[0] for each in wanted for _ in each]

    monkeypatch.setattr(generation, "say", say)
    questions: list[Question] = [(s, mode) for s in scene for mode in MODES]
    list(answer(model, processor, questions, batch=len(questions), max_new_tokens=LIMITS))
    ((stems, pictures, wanted),) = read
    groups = {s.pictures for s in scene}
    assert len(stems) == len(groups) < len(questions)
    assert len(pictures["image_grid_thw"]) == sum(map(len, groups))
    texts = [generation.prompt_text(processor, *q) for q in generation._by_length(questions)]
    images = [[p.pixels() for p in s.pictures] for s, _ in generation._by_length(questions)]
    whole = processor(text=texts, images=images)["input_ids"]
    assert [[*stem, *w.tail] for stem, each in zip(stems, wanted, strict=True) for w in each] == whole
    assert {w.max_new_tokens for each in wanted for w in each} == set(LIMITS.values())


def test_what_is_done_is_left_out_and_the_rest_is_asked_beside_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that an evaluation that was killed has the undisturbed one's answers to the last bit, and asks no more."""
    model, processor = model_and_processor()
    asked: list[Question] = [(s, mode) for s in samples("test")[:8] for mode in MODES]
    whole = list(answer(model, processor, asked, batch=4, max_new_tokens=LIMITS))
    batches = []
    ask = generation._answer_batch
    monkeypatch.setattr(
        generation, "_answer_batch", lambda *given: (batches.append([(s.id, m) for s, m in given[2]]), ask(*given))[1]
    )
    done = {(p.sample, p.mode) for p in [*whole[0], *whole[1][:3], whole[3][1]]}
    again = list(answer(model, processor, asked, batch=4, max_new_tokens=LIMITS, done=done))
    assert batches == [[(p.sample, p.mode) for p in each] for each in whole[1:]]
    assert again == [whole[1][3:], whole[2], [whole[3][0], *whole[3][2:]]]


def test_the_text_ends_with_the_end_token_and_counts_its_tokens() -> None:
    model, processor = model_and_processor()
    asked: list[Question] = [(s, "cot") for s in samples("test")[:4]]
    for batch in answer(model, processor, asked, batch=4, max_new_tokens={"cot": 5}):
        for said in batch:
            ids = processor.tokenizer(said.text, add_special_tokens=False)["input_ids"]
            assert said.tokens <= 5
            assert processor.tokenizer.decode(ids) == said.text
