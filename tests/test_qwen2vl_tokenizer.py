"""Answers, prompts, labels, rewards and a benchmark's score through the token ids of Qwen2-VL's own tokenizer."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from PIL import Image

from gemvg_repro.benchmarks.suites.odinw13 import BENCHMARKS
from gemvg_repro.grounding.answers import completion, format_answer
from gemvg_repro.grounding.parsing import parse_ids
from gemvg_repro.grounding.prompts import CHAT_TEMPLATE_KWARGS, messages
from gemvg_repro.grounding.rewards import TERMS
from gemvg_repro.grounding.samples import MODES, Mode, Sample, Target
from gemvg_repro.models.generation import prompt_text
from gemvg_repro.training.collator import IGNORED, Conversation, ConversationCollator, Turn
from gemvg_repro.training.grpo import reward_functions
from tools.answer_round_trips import targets

from .benchmarks.suites.test_odinw13 import document, write
from .drawn import conversations as drawn_samples
from .qwen2vl_files import needs_files, processor

pytestmark = needs_files

IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"


def token_ids(*texts: str) -> list[list[int]]:
    ids: list[list[int]] = processor().tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return ids


def samples() -> list[Sample]:
    return drawn_samples(seed=5, scenes=12, turns=3, others=0.3)


def conversations() -> list[Conversation]:
    scenes = [list(scene) for _, scene in groupby(samples(), key=lambda sample: sample.scene)]
    return [[Turn(s, "cot" if n % 2 else "direct") for s in scene] for n, scene in enumerate(scenes)]


def test_ten_thousand_answers_come_back_from_token_ids() -> None:
    rng, tokenizer = Random(0), processor().tokenizer
    truths = [targets(rng, rng.choice((1, 10, 20))) for _ in range(10_000)]
    for truth, ids in zip(truths, token_ids(*map(format_answer, truths)), strict=True):
        parsed = parse_ids([*ids, tokenizer.eos_token_id, tokenizer.pad_token_id], tokenizer.decode, 3)
        assert (parsed.targets, parsed.exact, parsed.problems) == (tuple(truth), True, ())


def test_a_box_takes_24_tokens_and_a_separator() -> None:
    box = Target(0, (0.123, 0.456, 0.789, 0.987))
    small = Target(0, (0.001, 0.002, 0.003, 0.004))
    lengths = [len(ids) for ids in token_ids(*(format_answer(each) for each in ([], [box], [small], [box] * 10)))]
    assert lengths == [1, 24, 16, 24 * 10 + 9]  # one token a digit


def test_a_prompt_is_qwen2_vl_s_own_with_named_images() -> None:
    for sample in samples():
        text = prompt_text(processor(), sample, "direct")
        names = "".join(f"Picture {k}: {IMAGE}" for k in range(1, len(sample.pictures) + 1))
        question = messages(sample, "direct")[0]["content"][-1]["text"]
        assert text == (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            f"<|im_start|>user\n{names}{question}<|im_end|>\n<|im_start|>assistant\n"
        )


@pytest.mark.parametrize("turns", conversations()[:6])
def test_labels_are_the_answers_and_the_rest_is_the_template_s(turns: Conversation) -> None:
    tokenizer = processor().tokenizer
    batch = ConversationCollator(processor(), coordinate_step=1)([turns])
    (ids,), (labels,) = batch["input_ids"], batch["labels"]
    completions = [completion(turn.sample, turn.mode) for turn in turns]
    assert tokenizer.decode(labels[labels != IGNORED]) == "".join(f"{each}<|im_end|>" for each in completions)
    assert torch.equal(labels[labels != IGNORED], ids[labels != IGNORED])
    chat: list[dict[str, Any]] = []
    for number, (turn, answer) in enumerate(zip(turns, completions, strict=True)):
        (user,) = messages(turn.sample, turn.mode)
        question = user if number == 0 else {"role": "user", "content": user["content"][-1:]}
        chat += [question, {"role": "assistant", "content": answer}]
    images = [Image.fromarray(picture.pixels()) for picture in turns[0].sample.pictures]
    text = tokenizer.apply_chat_template(chat, tokenize=False, **CHAT_TEMPLATE_KWARGS)
    whole = processor()(text=[text.removesuffix("\n")], images=[images], return_tensors="pt")
    assert torch.equal(ids, whole["input_ids"][0])
    assert torch.equal(batch["image_grid_thw"], whole["image_grid_thw"])


@pytest.mark.parametrize("mode", MODES)
def test_true_completions_have_every_reward(mode: Mode) -> None:
    rewarded = samples()
    ids = token_ids(*(completion(sample, mode) + "<|im_end|>" for sample in rewarded))
    for function in reward_functions(rewarded, processor()):
        rewards = function(completion_ids=ids, index=list(range(len(ids))), mode=[mode] * len(ids))
        assert min(rewards) > (0.9 if function.__name__ == "localisation" else 0.999), function.__name__
    assert len(TERMS) == 5


@pytest.mark.parametrize("form", ["{}", "```json\n{}\n```"])
def test_odinw_s_json_is_scored_in_full_from_token_ids(form: str, tmp_path: Path) -> None:
    benchmark, _ = BENCHMARKS
    data = benchmark.load(write(tmp_path, document()))
    answers = []
    for sample in benchmark.samples(data, "direct"):
        boxes = [[round(1000 * side) for side in target.box] for target in sample.targets]
        answers.append(form.format(json.dumps([{"bbox_2d": box, "label": sample.query} for box in boxes])))
    texts = [processor().tokenizer.decode(ids) for ids in token_ids(*(f"{answer}<|im_end|>" for answer in answers))]
    assert benchmark.score(data, benchmark.parse(data, texts)).official["mAP"] == pytest.approx(1)
