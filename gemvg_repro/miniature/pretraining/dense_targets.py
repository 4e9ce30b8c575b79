"""Dense auxiliary losses for pre-training: every image token predicts the object at its place, and that object's box.

Qwen2-VL, too, starts from a vision tower that was trained before it was joined to the language model (arXiv 2409.12191,
section 2.1: DFN's ViT). DFN has billions of captioned images; the miniature has a world with known objects, so its
tokens are supervised densely, as in FCOS and CenterNet (arXiv 1904.01355, section 3.1; arXiv 1904.07850, section 3):
category, colour and box of the object, and whether its centre is in the token's cell. Twice: where the token leaves the
tower, which does not know its position in the image, with the box relative to the token; and after some layers of the
language model, with the image's number and the box in it. And every word of an answer points to the image token with
the centre of its object, as words are aligned with regions in MDETR (arXiv 2104.12763, section 2.2.2). The heads are
discarded after pre-training.
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
"""The layer of the language model after which tokens must know their place: later layers can then look them up."""

POINTING_LAYER = 3
"""The layer after which words point; later layers can attend there and read."""

MOST_PICTURES = 3

_LEAST_COVER = 16
"""Pixels of a token's cell that a box must cover for the token to predict it, unless its centre is in the cell."""

_NOTHING = len(CATEGORIES)
_PARTS = {"category": len(CATEGORIES) + 1, "colour": len(COLOURS), "box": 4, "centre": 1}
_UNIT = 16.0
"""Pixels that an output of 1 stands for."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The targets of image tokens: tensors of shape (images, tokens, ...), tokens row by row.

    `category` is _NOTHING where there is no object; `box` the object's xyxy in pixels; `centre` 1 where its centre is,
    else 0; `cell` the token's own centre, as (x, y, x, y), to be subtracted from a box; `picture` the image's index in
    the prompt.
    """

    category: Tensor
    colour: Tensor
    box: Tensor
    centre: Tensor
    cell: Tensor
    picture: Tensor

    @classmethod
    def of(cls, samples: Sequence[Sequence[Frame]], cell: int) -> Self:
        """The labels of the frames of each sample, for tokens of `cell` pixels a side."""
        frames = [frame for sample in samples for frame in sample]
        cells = SIDE // cell
        targets = np.zeros((len(frames), cells, cells, 7), dtype=np.float32)
        targets[..., 0] = _NOTHING
        for grid, frame in zip(targets, frames, strict=True):
            _fill(grid, frame, cell)
        flat = torch.from_numpy(targets.reshape(len(frames), cells * cells, 7))
        rows, columns = np.array(np.divmod(np.arange(cells * cells), cells)) * cell + cell / 2
        centres = torch.from_numpy(np.stack([columns, rows, columns, rows], axis=-1).astype(np.float32))
        indices = [index for sample in samples for index in range(len(sample))]
        return cls(
            flat[..., 0].long(), flat[..., 1].long(), flat[..., 2:6], flat[..., 6], centres.expand(len(frames), -1, -1),
            torch.tensor(indices)[:, None].expand(-1, cells * cells),
        )  # fmt: skip


def _fill(grid: NDArray[np.float32], frame: Frame, cell: int) -> None:
    """Fills the (rows, columns, 7) of a frame: of several objects in a cell, the one with its centre there wins, else
    the one that covers most of it."""
    edges = np.arange(len(grid)) * cell
    largest = np.full(grid.shape[:2], _LEAST_COVER - 1)
    for t in frame.things:
        across = np.clip(np.minimum(t.x + t.w, edges + cell) - np.maximum(t.x, edges), 0, None)
        down = np.clip(np.minimum(t.y + t.h, edges + cell) - np.maximum(t.y, edges), 0, None)
        cover = down[:, None] * across[None, :]
        row, column = (2 * t.y + t.h) // (2 * cell), (2 * t.x + t.w) // (2 * cell)
        cover[row, column] += cell**2
        won = cover > largest
        largest[won] = cover[won]
        grid[won] = (t.category, t.colour, t.x, t.y, t.x + t.w, t.y + t.h, 0)
        grid[row, column, 6] = won[row, column] or grid[row, column, 6]


@dataclass(frozen=True, slots=True)
class Pointers:
    """The objects that words of answers refer to: tensors of one entry a word.

    `row` and `position` are of the token that predicts the word, in the batch; `token` is the index of the image token
    among those of its row, or NOWHERE for a word that refers to no object.
    """

    row: Tensor
    position: Tensor
    token: Tensor


NOWHERE = -1


def centre_token(thing: Thing, picture: int, cell: int) -> int:
    """The index, among the image tokens of a prompt, of the token with the object's centre."""
    cells = SIDE // cell
    row, column = (2 * thing.y + thing.h) // (2 * cell), (2 * thing.x + thing.w) // (2 * cell)
    return picture * cells**2 + row * cells + column


class DenseHeads(nn.Module):
    """Linear heads on tokens of width `hidden`: the labels as tokens leave the tower (`near`) and after LAYER layers
    (`far`), and the image token that a word points to after POINTING_LAYER layers."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.from_word = nn.Linear(hidden, hidden)
        self.to_token = nn.Linear(hidden, hidden)
        self.nowhere = nn.Parameter(torch.zeros(1, 1, hidden))
        self.near = nn.Linear(hidden, sum(_PARTS.values()))
        self.far = nn.Linear(hidden, sum(_PARTS.values()) + MOST_PICTURES)

    def loss(self, hidden_states: Sequence[Tensor], image_mask: Tensor, labels: Labels) -> dict[str, Tensor]:
        """The loss of both heads, and the share of boxes that `far` predicts with IoU >= 0.5.

        Args:
            hidden_states: the embeddings and the output of every layer, (batch, length, hidden) each.
            image_mask: (batch, length), True for image tokens; all images have one size.
            labels: of the images in the batch, in order.
        """
        shape = (*labels.category.shape, hidden_states[0].shape[-1])
        near, far = (F.rms_norm(hidden_states[layer][image_mask], shape[-1:]).view(shape) for layer in (0, LAYER))
        relative, _ = _losses(self.near(near), labels, labels.cell)
        outputs, pictures = torch.split(self.far(far), [sum(_PARTS.values()), MOST_PICTURES], dim=-1)
        absolute, close = _losses(outputs, labels, torch.full_like(labels.cell, SIDE / 2))
        picture = F.cross_entropy(pictures.flatten(0, 1), labels.picture.flatten())
        return {"near": relative, "far": absolute + picture, "far_boxes": close}

    def pointing(self, hidden_states: Sequence[Tensor], image_mask: Tensor, words: Pointers) -> tuple[Tensor, Tensor]:
        """The cross entropy of the tokens that words point to, and the accuracy."""
        states = F.rms_norm(hidden_states[POINTING_LAYER], hidden_states[0].shape[-1:])
        rows = [self.to_token(row[mask]) for row, mask in zip(states, image_mask, strict=True)]
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


def _losses(outputs: Tensor, labels: Labels, origin: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropies, and the smooth L1 of boxes relative to `origin`; colour and box only where an object is."""
    category, colour, box, centre = torch.split(outputs, list(_PARTS.values()), dim=-1)
    mask = labels.category != _NOTHING
    boxes, targets = (box * _UNIT + origin)[mask], labels.box[mask]
    loss = (
        F.cross_entropy(category.flatten(0, 1), labels.category.flatten())
        + F.cross_entropy(colour[mask], labels.colour[mask])
        + F.smooth_l1_loss(boxes, targets, beta=2.0) / 4
        + F.binary_cross_entropy_with_logits(centre[..., 0], labels.centre)
    )
    return loss, (_iou(boxes.detach(), targets) >= 0.5).float().mean()


def _iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of the boxes of two (N, 4), pair by pair."""
    inter = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(-1)
    areas = [(side[:, 2:] - side[:, :2]).clamp(min=0).prod(-1) for side in (a, b)]
    return inter / (areas[0] + areas[1] - inter)
