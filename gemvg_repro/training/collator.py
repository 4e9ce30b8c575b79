"""How do conversations become a batch? Tokens, pictures, and a loss on the answers only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..grounding.answers import completion
from ..grounding.prompts import CHAT_TEMPLATE_KWARGS, messages, question
from ..grounding.samples import Mode, Picture, Sample
from ..models.processor import ImageOnlyProcessor

IGNORED = -100
"""The label of a token without loss (transformers' convention)."""


@dataclass(frozen=True)
class Turn:
    """A question of a conversation, and how it is asked and answered."""

    sample: Sample
    mode: Mode


Conversation = Sequence[Turn]
"""Turns about the same pictures; the pictures stand before the first question."""


class ConversationCollator:
    """Batches conversations for Qwen2-VL.

    Returns tensors by name: input_ids, attention_mask, mm_token_type_ids and labels, each of shape
    (conversations, longest), padded on the right; pixel_values (patches, values of a patch);
    image_grid_thw (pictures, 3). Labels are the answers' tokens with the end token, IGNORED elsewhere. Raises
    ValueError for a turn about other pictures than the first of its conversation, which alone are shown.
    """

    def __init__(self, processor: ImageOnlyProcessor, step: int):
        self._images = processor.image_processor
        self._tokenizer = processor.tokenizer
        self._image_token: str = processor.image_token
        self._step = step

    def __call__(self, conversations: Sequence[Conversation]) -> dict[str, Tensor]:
        pictures = [Image.fromarray(p.pixels()) for turns in conversations for p in _shown(turns)]
        patches = self._images(pictures, return_tensors="pt")
        merge = self._images.merge_size**2
        pads = iter((patches["image_grid_thw"].prod(-1) // merge).tolist())
        rows = self._tokenise([self._pieces(turns, pads) for turns in conversations])
        longest = max(len(ids) for ids, _ in rows)
        input_ids = torch.full((len(rows), longest), self._tokenizer.pad_token_id)
        labels = torch.full((len(rows), longest), IGNORED)
        attention = torch.zeros((len(rows), longest), dtype=torch.long)
        for i, (ids, answered) in enumerate(rows):
            input_ids[i, : len(ids)] = torch.tensor(ids)
            labels[i, : len(ids)] = torch.tensor(answered)
            attention[i, : len(ids)] = 1
        image_id = self._tokenizer.convert_tokens_to_ids(self._image_token)
        return {
            "input_ids": input_ids,
            "attention_mask": attention,
            "mm_token_type_ids": (input_ids == image_id).int(),
            "labels": labels,
            "pixel_values": patches["pixel_values"],
            "image_grid_thw": patches["image_grid_thw"],
        }

    def _pieces(self, turns: Conversation, pads: Any) -> list[str]:
        """Prompt, answer, prompt, answer ... as text; every picture takes its number of tokens from `pads`."""
        pieces: list[str] = []
        chat: list[dict[str, Any]] = []
        written = ""
        for number, turn in enumerate(turns):
            if number == 0:
                chat = messages(turn.sample, turn.mode)
            else:
                chat.append({"role": "user", "content": question(turn.sample, turn.mode)})
            shown = self._tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=True, **CHAT_TEMPLATE_KWARGS
            )
            answer = completion(turn.sample, turn.mode, self._step)
            pieces += [shown[len(written) :], answer + self._tokenizer.eos_token]
            written = shown + pieces[-1]
            chat.append({"role": "assistant", "content": answer})
        first, *rest = pieces[0].split(self._image_token)
        pieces[0] = first + "".join(self._image_token * next(pads) + text for text in rest)
        return pieces

    def _tokenise(self, rows: list[list[str]]) -> list[tuple[list[int], list[int]]]:
        """(ids, labels) of each row of pieces; every second piece is an answer."""
        encoded = iter(self._tokenizer([piece for row in rows for piece in row], add_special_tokens=False)["input_ids"])
        batch = []
        for row in rows:
            ids: list[int] = []
            labels: list[int] = []
            for number in range(len(row)):
                piece = next(encoded)
                ids += piece
                labels += piece if number % 2 else [IGNORED] * len(piece)
            batch.append((ids, labels))
        return batch


def _shown(turns: Conversation) -> tuple[Picture, ...]:
    """The pictures of all turns."""
    first = turns[0].sample
    for turn in turns[1:]:
        if turn.sample.pictures != first.pictures:
            raise ValueError(
                f"samples {first.id} and {turn.sample.id} are turns of one conversation, but about different pictures; "
                "give samples one scene only if they share their pictures"
            )
    return first.pictures
