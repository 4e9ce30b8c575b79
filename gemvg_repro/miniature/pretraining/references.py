"""An auxiliary loss that resolves references early: their last token must predict the look of their object.

A question for what has the colour of "the disc of Picture 2" means a red disc, say, and only a look can be searched
for. A large model has layers to spare for resolving the reference first. The miniature is taught to: after the first
layers, the last token of the reference must predict the words of the look, as if they stood in the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Qwen2VLForConditionalGeneration

from ...training.collator import Conversation
from ..tokenizer import build_tokenizer
from ..world import CATEGORIES, COLOURS
from .curriculum import REFERS
from .pointing import answers

_TOKENIZER = build_tokenizer()


def _words(words: Sequence[str]) -> list[int]:
    """The tokens of words within a sentence."""
    return [ids[0] for ids in _TOKENIZER([f" {word}" for word in words])["input_ids"]]


_COLOURS, _CATEGORIES = _words(COLOURS), _words(CATEGORIES)
_PICTURES = frozenset(_words([f"Picture {k}" for k in range(1, 7)]))


@dataclass(frozen=True, slots=True)
class References:
    """The references in a batch's questions: tensors of one entry a reference.

    `row` and `position` of its last token in the batch; `colour` and `category` of the object, as the world's indices.
    """

    row: Tensor
    position: Tensor
    colour: Tensor
    category: Tensor


def references(batch: Sequence[Conversation], input_ids: Tensor, labels: Tensor) -> References:
    """The references in a batch; ids and labels are (conversations, length)."""
    entries: list[tuple[int, int, int, int]] = []
    for row, (turns, ids, row_labels) in enumerate(zip(batch, input_ids.tolist(), labels.tolist(), strict=True)):
        for turn, (start, _) in zip(turns, answers(row_labels), strict=True):
            if turn.sample.query.startswith(REFERS) and turn.sample.text is not None:
                position = next(at for at in range(start, 0, -1) if ids[at] in _PICTURES)
                colour, category = turn.sample.text.split()
                entries.append((row, position, COLOURS.index(colour), CATEGORIES.index(category)))
    return References(*torch.tensor(entries).reshape(-1, 4).unbind(1))


def reference_loss(
    model: Qwen2VLForConditionalGeneration, states: Tensor, references: References
) -> tuple[Tensor, Tensor]:
    """Cross entropy of the look's words, predicted from states (batch, length, hidden) of a layer: the colour among all
    colours plus the category among all categories; and the share with both right."""
    words = model.lm_head(model.model.language_model.norm(states[references.row, references.position]))
    loss, right = torch.zeros(()), torch.ones(len(references.row), dtype=torch.bool)
    for ids, look in ((_COLOURS, references.colour), (_CATEGORIES, references.category)):
        loss = loss + F.cross_entropy(words[:, ids], look)
        right &= words[:, ids].argmax(dim=-1) == look
    return loss, right.float().mean()
