"""The grammar through a tokenizer of Qwen2-VL's make: token ids, special tokens, digits one by one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given, settings

from gemvg_repro.grounding.answers import completion
from gemvg_repro.grounding.parsing import parse_answer, parse_ids
from gemvg_repro.grounding.prompts import CHAT_TEMPLATE_KWARGS, messages
from gemvg_repro.grounding.rewards import Reward
from gemvg_repro.grounding.samples import MODES, Mode, Sample, Target

from .. import qwen_tokenizer as qwen
from . import factories

TWO = (Target(0, (0.1, 0.2, 0.3, 0.4)), Target(1, (0.5, 0.5, 0.75, 1.0)))
SAMPLES = (
    factories.sample(*TWO, chain="Both are red, 中 \U0001f600."),
    factories.sample(chain="There is no cube."),
    factories.sample(choice="B", chain="They differ."),
)

tokenizer = cache(qwen.qwen_tokenizer)


def decode(ids: Sequence[int], special: bool = True) -> str:
    return str(tokenizer().decode(list(ids), skip_special_tokens=not special))


def ids_of(text: str) -> list[int]:
    ids: list[int] = tokenizer()(text).input_ids
    return ids


def test_the_tokenizer_is_of_qwen2_vls_make() -> None:
    assert {tokenizer().convert_tokens_to_ids(token) for token in qwen.ADDED_TOKENS} == set(
        range(len(tokenizer()) - len(qwen.ADDED_TOKENS), len(tokenizer()))
    )
    assert set(qwen.ADDED_TOKENS) <= set(tokenizer().all_special_tokens)
    assert (tokenizer().eos_token, tokenizer().pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert tokenizer().tokenize("(1000,20)") == ["(", "1", "0", "0", "0", ",", "2", "0", ")"]
    assert len(ids_of("<|box_start|><|box_end|>")) == 2
    assert len(ids_of("<think>")) > 1 and len(ids_of("</answer>")) > 1


def test_the_template_names_pictures_as_answers_do() -> None:
    prompt = tokenizer().apply_chat_template(
        messages(SAMPLES[0], "direct"), tokenize=False, add_generation_prompt=True, **CHAT_TEMPLATE_KWARGS
    )
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    assert prompt == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\nPicture 1: {image}Picture 2: {image}"
        "Where? Answer with the boxes only.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("mode", MODES)
def test_answers_come_back_from_ids_and_from_stripped_text(sample: Sample, mode: Mode) -> None:
    ids = ids_of(completion(sample, mode) + "<|im_end|>")
    padded = ids + [tokenizer().pad_token_id] * 3
    parsed_answers = [parse_ids(ids, decode, 2), parse_ids(padded, decode, 2)]
    parsed_answers.append(parse_answer(decode(padded, special=False), 2))
    for parsed in parsed_answers:
        assert (parsed.targets, parsed.choice, parsed.problems) == (sample.targets, sample.choice, ())
        assert parsed.thought == (sample.chain if mode == "cot" else None)
        reward = Reward({"format": 1, "picture": 1, "localisation": 1, "count": 1, "f1": 1})
        assert reward(sample, parsed, mode).total == pytest.approx(5)


@pytest.mark.parametrize("mode", MODES)
def test_cut_anywhere_it_reads_no_other_boxes(mode: Mode) -> None:
    ids = ids_of(completion(SAMPLES[0], mode))
    for length in range(len(ids)):
        parsed = parse_ids(ids[:length], decode, 2)
        assert parsed.targets == TWO[: len(parsed.targets)]
        assert parsed.problems or parsed.targets == TWO[:1]  # whole, but for the end token


@given(factories.targets(pictures=3))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_ids_are_the_text_to_the_letter(targets: list[Target]) -> None:
    text = completion(factories.sample(*targets, pictures=3), "direct")
    assert decode(ids_of(text)) == text


def test_foreign_ids_do_not_raise() -> None:
    for ids in ([10**6], [-1], [2**40], []):
        assert not parse_ids(ids, decode, 2).readable
