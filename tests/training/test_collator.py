"""Labels are on the answers only, with the miniature's tokenizer and with one like Qwen2-VL's."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from itertools import groupby

import pytest
import torch

from gemvg_repro.grounding.answers import completion
from gemvg_repro.grounding.parsing import parse_ids
from gemvg_repro.grounding.prompts import CHAT_TEMPLATE_KWARGS, messages
from gemvg_repro.miniature.tokenizer import COORDINATE_STEP
from gemvg_repro.models.processor import ImageOnlyProcessor
from gemvg_repro.training.collator import IGNORED, Conversation, ConversationCollator, Turn

from ..qwen_tokenizer import qwen_tokenizer
from ..tiny_model import model_and_processor, samples


def processors() -> dict[str, ImageOnlyProcessor]:
    _, ours = model_and_processor()
    bpe = qwen_tokenizer()
    bpe.padding_side = "left"
    return {
        "words": ours,
        "bytes": ImageOnlyProcessor(ours.image_processor, bpe, chat_template=bpe.chat_template),
    }


def conversations() -> list[Conversation]:
    groups = [list(g) for _, g in groupby(samples(), key=lambda s: s.scene)]
    return [[Turn(s, "cot" if i % 2 else "direct") for s in group] for i, group in enumerate(groups[:8])]


@pytest.mark.parametrize("name", ["words", "bytes"])
def test_labels_are_the_answers(name: str) -> None:
    processor = processors()[name]
    tokenizer = processor.tokenizer
    batch = ConversationCollator(processor, COORDINATE_STEP)(conversations())
    for turns, ids, labels in zip(conversations(), batch["input_ids"], batch["labels"], strict=True):
        kept = labels[labels != IGNORED]
        assert torch.equal(kept, ids[labels != IGNORED])
        expected = [completion(t.sample, t.mode, COORDINATE_STEP) + "<|im_end|>" for t in turns]
        assert tokenizer.decode(kept) == "".join(expected)
        end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        answers, start = [], 0
        for at in (kept == end).nonzero()[:, 0].tolist():
            answers.append(kept[start : at + 1].tolist())
            start = at + 1
        for turn, answer in zip(turns, answers, strict=True):
            reading = parse_ids(answer, tokenizer.decode, len(turn.sample.pictures))
            assert reading.exact and len(reading.targets) == len(turn.sample.targets)


@pytest.mark.parametrize("name", ["words", "bytes"])
def test_a_prompt_is_that_of_generation(name: str) -> None:
    """What precedes the first answer in training is, token for token, what generation starts from."""
    processor = processors()[name]
    turn = conversations()[0][0]
    batch = ConversationCollator(processor, COORDINATE_STEP)([[turn]])
    from PIL import Image

    text = processor.tokenizer.apply_chat_template(
        messages(turn.sample, turn.mode), tokenize=False, add_generation_prompt=True, **CHAT_TEMPLATE_KWARGS
    )
    images = [[Image.fromarray(p.pixels()) for p in turn.sample.pictures]]
    inputs = processor(text=[text], images=images, return_tensors="pt")
    length = inputs["input_ids"].shape[1]
    assert torch.equal(batch["input_ids"][:, :length], inputs["input_ids"])
    assert torch.equal(batch["pixel_values"], inputs["pixel_values"])
    assert torch.equal(batch["mm_token_type_ids"][:, :length], inputs["mm_token_type_ids"])
    assert (batch["labels"][:, :length] == IGNORED).all()
    assert (batch["labels"][:, length:] != IGNORED).all()


def test_every_image_has_its_tokens() -> None:
    _, processor = model_and_processor()
    batch = ConversationCollator(processor, COORDINATE_STEP)(conversations())
    merged = batch["image_grid_thw"].prod(-1).sum() // processor.image_processor.merge_size**2
    assert batch["mm_token_type_ids"].sum() == merged
    assert batch["pixel_values"].shape[0] == batch["image_grid_thw"].prod(-1).sum()
    assert (batch["labels"][batch["mm_token_type_ids"] == 1] == IGNORED).all()


def test_turns_about_other_images_than_the_first_are_refused() -> None:
    _, processor = model_and_processor()
    first = samples()[0]
    other = next(s for s in samples() if s.scene != first.scene and s.pictures != first.pictures)
    same = replace(first, pictures=deepcopy(first.pictures))  # equal images, made or read a second time, will do
    ConversationCollator(processor, COORDINATE_STEP)([[Turn(first, "direct"), Turn(same, "direct")]])
    with pytest.raises(ValueError, match=f"samples {first.id} and {other.id} are turns of one conversation"):
        ConversationCollator(processor, COORDINATE_STEP)([[Turn(first, "direct"), Turn(other, "direct")]])
