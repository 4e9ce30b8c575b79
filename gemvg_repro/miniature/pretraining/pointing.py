"""For each word of an answer, the image token of the object that it refers to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ...grounding.samples import Sample
from ...training.collator import IGNORED, Conversation, Turn
from ..tokenizer import build_tokenizer
from ..world import Frame
from .dense_targets import NOWHERE, Pointers, centre_token

_TOKENIZER = build_tokenizer()
_SEPARATORS = frozenset(_TOKENIZER("; ,")["input_ids"])
_ANSWER, _ANSWERED, _END = _TOKENIZER.convert_tokens_to_ids(["<answer>", "</answer>", "<|im_end|>"])


def pointers(batch: Sequence[Conversation], input_ids: Tensor, labels: Tensor, cell: int) -> Pointers:
    """The image token that each word of the answers in a batch points to; ids and labels are (conversations, length).

    The words of one object (name, image, box) point to the token with its centre, and so does the separator before
    them; chains of thought, "none" and the end token point nowhere.
    """
    entries: list[tuple[int, int, int]] = []
    for row, turns in enumerate(batch):
        for turn, (start, ids) in zip(turns, answers(labels[row].tolist()), strict=True):
            for offset, token in enumerate(_tokens_of_words(turn, ids, cell)):
                entries.append((row, start + offset - 1, token))
    rows, positions, tokens = torch.tensor(entries).unbind(1)
    return Pointers(rows, positions, tokens)


def answers(labels: list[int]) -> Iterator[tuple[int, list[int]]]:
    """Position and ids of each answer, to its end token."""
    start = None
    for position, label in enumerate(labels):
        if label == IGNORED:
            continue
        start = position if start is None else start
        if label == _END:
            yield start, labels[start : position + 1]
            start = None


def _tokens_of_words(turn: Turn, ids: list[int], cell: int) -> Iterator[int]:
    """For each token of an answer the image token that it points to, or NOWHERE."""
    things = _things(turn.sample, cell)
    in_answer = turn.mode == "direct" or turn.sample.text is not None
    number = 0
    for token in ids:
        number += in_answer and token in _SEPARATORS
        points = in_answer and token not in (_ANSWERED, _END) and number < len(things)
        yield things[number] if points else NOWHERE
        in_answer = in_answer or token == _ANSWER


def _things(sample: Sample, cell: int) -> list[int]:
    """The centre tokens of the answer's objects, in its order."""
    frames = [picture for picture in sample.pictures if isinstance(picture, Frame)]
    if sample.text is not None:
        picture = int(sample.query.partition("Picture ")[2][0]) - 1
        ordered = sorted(frames[picture].things, key=lambda t: (t.x, t.y))
        return [centre_token(thing, picture, cell) for thing in ordered]
    by_place = {(p, thing.box): thing for p, frame in enumerate(frames) for thing in frame.things}
    targets = sorted((t.picture, t.box) for t in sample.targets)
    return [centre_token(by_place[target], target[0], cell) for target in targets]
