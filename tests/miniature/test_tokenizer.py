"""Qwen2-VL's special tokens, one token a coordinate, and a byte for whatever has no word."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemvg_repro.grounding.answers import completion
from gemvg_repro.grounding.parsing import parse_ids
from gemvg_repro.grounding.prompts import CHAT_TEMPLATE_KWARGS, messages
from gemvg_repro.miniature.tokenizer import CHAT_TEMPLATE, COORDINATE_STEP, SPECIAL_TOKENS, build_tokenizer

from ..drawn import conversations
from ..qwen_tokenizer import ADDED_TOKENS, qwen_tokenizer

TOKENIZER = build_tokenizer()


def test_special_tokens_are_qwen2_vls() -> None:
    assert SPECIAL_TOKENS == tuple(ADDED_TOKENS)
    ids = TOKENIZER.convert_tokens_to_ids(list(SPECIAL_TOKENS))
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert all(TOKENIZER.added_tokens_decoder[i].special for i in ids)
    assert CHAT_TEMPLATE == qwen_tokenizer().chat_template


@pytest.mark.parametrize("number", range(0, 1001, COORDINATE_STEP))
def test_a_coordinate_is_one_token(number: int) -> None:
    text = f"({number},{number}),({number},{number})"
    assert len(TOKENIZER(text)["input_ids"]) == 4
    assert TOKENIZER.decode(TOKENIZER(text)["input_ids"]) == text


@given(st.text())
@settings(deadline=None)
def test_any_text_survives(text: str) -> None:
    clean = text.encode("utf-8", "ignore").decode("utf-8")
    assert TOKENIZER.decode(TOKENIZER(clean)["input_ids"]) == clean


def test_the_world_needs_no_bytes() -> None:
    """Prompts and answers are words: at most 110 tokens of text for a prompt, and no byte of a word."""
    letters = set("abcdefghijklmnopqrstuvwxyz0123456789")
    for sample in conversations(0, 300, 4, 0.2):
        for mode in ("direct", "cot"):
            prompt = TOKENIZER.apply_chat_template(
                messages(sample, mode),
                tokenize=False,
                add_generation_prompt=True,
                **CHAT_TEMPLATE_KWARGS,
            )
            answer = completion(sample, mode, COORDINATE_STEP)
            ids = TOKENIZER(prompt + answer)["input_ids"]
            assert TOKENIZER.decode(ids) == prompt + answer
            assert not letters & set(TOKENIZER.convert_ids_to_tokens(ids)), sample.query
            parsed = parse_ids(TOKENIZER(answer)["input_ids"], TOKENIZER.decode, len(sample.pictures))
            assert parsed.exact and len(parsed.targets) == len(sample.targets)
