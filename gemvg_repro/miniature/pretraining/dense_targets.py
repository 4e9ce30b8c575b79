"""How does the base learn to see? Every picture token tells which thing is there, and where that thing ends.

Qwen2-VL, too, begins with a tower that was trained before it met the language model (arXiv 2409.12191, section
2.1: DFN's ViT). DFN has billions of captioned pictures; the miniature has a world that knows every thing in it, so
its tokens are taught densely, as FCOS and CenterNet teach theirs (arXiv 1904.01355, section 3.1; arXiv 1904.07850,
section 3): category, colour and box of the thing there, and whether its centre is. Twice: as the token leaves the
tower, which cannot know where in the picture it is and tells the box relative to itself, and after some layers of
the language model, where it tells its picture and the box in it. And every word of an answer points to the picture
token with the centre of the thing it is about, as words are aligned with regions in MDETR (arXiv 2104.12763,
section 2.2.2). The heads are thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..rendering import SIDE
from ..world import CATEGORIES, COLOURS, Frame, Thing

LAYER = 2
"""After so many layers of the language model tokens must know their place: what follows can then look them up."""

POINTING_LAYER = 3
"""After so many layers words point; what follows can attend there and read."""

MOST_PICTURES = 3

_LEAST_COVER = 16
"""Pixels of a token's cell that a thing's box must cover to be told there, unless its centre is."""

_NOTHING = len(CATEGORIES)
_PARTS = {"category": len(CATEGORIES) + 1, "colour": len(COLOURS), "box": 4, "centre": 1}
_UNIT = 16.0
"""Pixels of a box that an output of 1 stands for."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What the tokens of pictures should tell: arrays of shape (pictures, tokens, ...), tokens row by row.

    `category` is _NOTHING on the ground; `box` the thing's xyxy in pixels; `centre` 1 where its centre is, else 0;
    `cell` the token's own centre, twice, so that it can be taken from a box; `picture` the place in the prompt.
    """

    category: Tensor
    colour: Tensor
    box: Tensor
    centre: Tensor
    cell: Tensor
    picture: Tensor

    @classmethod
    def of(cls, samples: Sequence[Sequence[Frame]], cell: int) -> Self:
        """The labels of the frames of each sample, for tokens that stand for `cell` pixels a side."""
        frames = [frame for sample in samples for frame in sample]
        cells = SIDE // cell
        told = np.zeros((len(frames), cells, cells, 7), dtype=np.float32)
        told[..., 0] = _NOTHING
        for tells, frame in zip(told, frames, strict=True):
            _tell(tells, frame, cell)
        flat = torch.from_numpy(told.reshape(len(frames), cells * cells, 7))
        rows, columns = np.array(np.divmod(np.arange(cells * cells), cells)) * cell + cell / 2
        own = torch.from_numpy(np.stack([columns, rows, columns, rows], axis=-1).astype(np.float32))
        places = [place for sample in samples for place in range(len(sample))]
        return cls(
            flat[..., 0].long(), flat[..., 1].long(), flat[..., 2:6], flat[..., 6], own.expand(len(frames), -1, -1),
            torch.tensor(places)[:, None].expand(-1, cells * cells),
        )  # fmt: skip


def _tell(tells: NDArray[np.float32], frame: Frame, cell: int) -> None:
    """Fills the (rows, columns, 7) of a frame: of several things in a cell the one with its centre there, or most."""
    edges = np.arange(len(tells)) * cell
    most = np.full(tells.shape[:2], _LEAST_COVER - 1)
    for t in frame.things:
        across = np.clip(np.minimum(t.x + t.w, edges + cell) - np.maximum(t.x, edges), 0, None)
        down = np.clip(np.minimum(t.y + t.h, edges + cell) - np.maximum(t.y, edges), 0, None)
        claim = down[:, None] * across[None, :]
        row, column = (2 * t.y + t.h) // (2 * cell), (2 * t.x + t.w) // (2 * cell)
        claim[row, column] += cell**2
        won = claim > most
        most[won] = claim[won]
        tells[won] = (t.category, t.colour, t.x, t.y, t.x + t.w, t.y + t.h, 0)
        tells[row, column, 6] = won[row, column] or tells[row, column, 6]


@dataclass(frozen=True, slots=True)
class Pointers:
    """What words of answers are about: arrays of one entry a word.

    `row` and `position` of the token that predicts the word, in the batch; `token`: the place of the picture token
    among those of its row, or NOWHERE for a word that is about no thing.
    """

    row: Tensor
    position: Tensor
    token: Tensor


NOWHERE = -1


def centre_token(thing: Thing, picture: int, cell: int) -> int:
    """The place, among the picture tokens of a prompt, of the token with the thing's centre."""
    cells = SIDE // cell
    row, column = (2 * thing.y + thing.h) // (2 * cell), (2 * thing.x + thing.w) // (2 * cell)
    return picture * cells**2 + row * cells + column


class DenseHeads(nn.Module):
    """Reads off tokens of width `hidden`: the labels as they leave the tower (`near`) and after LAYER layers (`far`),
    and after POINTING_LAYER layers where words point."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.from_word = nn.Linear(hidden, hidden)
        self.to_token = nn.Linear(hidden, hidden)
        self.nowhere = nn.Parameter(torch.zeros(1, 1, hidden))
        self.near = nn.Linear(hidden, sum(_PARTS.values()))
        self.far = nn.Linear(hidden, sum(_PARTS.values()) + MOST_PICTURES)

    def loss(self, hidden_states: Sequence[Tensor], shown: Tensor, labels: Labels) -> dict[str, Tensor]:
        """The loss of both heads, and the share of boxes that `far` tells with IoU >= 0.5.

        `hidden_states`: the embeddings and the output of every layer, (batch, length, hidden) each; `shown`: which
        of the tokens are of pictures, (batch, length). Pictures are all of one size.
        """
        shape = (*labels.category.shape, hidden_states[0].shape[-1])
        near, far = (F.rms_norm(hidden_states[layer][shown], shape[-1:]).view(shape) for layer in (0, LAYER))
        relative, _ = _losses(self.near(near), labels, labels.cell)
        told, pictures = torch.split(self.far(far), [sum(_PARTS.values()), MOST_PICTURES], dim=-1)
        absolute, close = _losses(told, labels, torch.full_like(labels.cell, SIDE / 2))
        where = F.cross_entropy(pictures.flatten(0, 1), labels.picture.flatten())
        return {"near": relative, "far": absolute + where, "far_boxes": close}

    def pointing(self, hidden_states: Sequence[Tensor], shown: Tensor, words: Pointers) -> tuple[Tensor, Tensor]:
        """The cross entropy of where words point, and the share that point right."""
        states = F.rms_norm(hidden_states[POINTING_LAYER], hidden_states[0].shape[-1:])
        rows = [self.to_token(row[there]) for row, there in zip(states, shown, strict=True)]
        keys = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        keys = torch.cat([keys, self.nowhere.expand(len(rows), -1, -1)], dim=1)
        absent = torch.ones(keys.shape[:2], dtype=torch.bool)
        for row, one in zip(absent, rows, strict=True):
            row[: len(one)] = False
        absent[:, -1] = False
        scores = torch.einsum("wh,wth->wt", self.from_word(states[words.row, words.position]), keys[words.row])
        scores = (scores / keys.shape[-1] ** 0.5).masked_fill(absent[words.row], float("-inf"))
        target = torch.where(words.token == NOWHERE, keys.shape[1] - 1, words.token)
        return F.cross_entropy(scores, target), (scores.argmax(dim=-1) == target).float().mean()


def _losses(told: Tensor, labels: Labels, origin: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropies, and the smooth L1 of boxes counted from `origin`; colour and box only where a thing is."""
    category, colour, box, centre = torch.split(told, list(_PARTS.values()), dim=-1)
    there = labels.category != _NOTHING
    boxes, wanted = (box * _UNIT + origin)[there], labels.box[there]
    loss = (
        F.cross_entropy(category.flatten(0, 1), labels.category.flatten())
        + F.cross_entropy(colour[there], labels.colour[there])
        + F.smooth_l1_loss(boxes, wanted, beta=2.0) / 4
        + F.binary_cross_entropy_with_logits(centre[..., 0], labels.centre)
    )
    return loss, (_iou(boxes.detach(), wanted) >= 0.5).float().mean()


def _iou(a: Tensor, b: Tensor) -> Tensor:
    """Of the boxes of two (N, 4), pair by pair."""
    inter = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(-1)
    areas = [(side[:, 2:] - side[:, :2]).clamp(min=0).prod(-1) for side in (a, b)]
    return inter / (areas[0] + areas[1] - inter)
