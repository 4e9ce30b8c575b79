"""The dense targets of image tokens, and that the heads can predict them."""

from __future__ import annotations

import torch

from gemvg_repro.miniature.pretraining.dense_targets import DenseHeads, Labels
from gemvg_repro.miniature.world import CATEGORIES, Frame, Thing

CELL = 16
LARGE = Thing(identity=0, category=1, colour=2, shade=8, x=0, y=0, w=36, h=36)  # centre (18, 18): second row and column
SMALL = Thing(
    identity=1, category=3, colour=0, shade=8, x=40, y=52, w=6, h=8
)  # centre (43, 56): fourth row, third column
FRAME = Frame(0, 0, (LARGE, SMALL))


def test_the_target_of_a_cell_is_the_object_that_covers_most_of_it() -> None:
    labels = Labels.of([(FRAME,)], CELL)
    nothing = len(CATEGORIES)
    assert labels.category.view(4, 4).tolist() == [
        [1, 1, 1, nothing],
        [1, 1, 1, nothing],
        [1, 1, 1, nothing],
        [nothing, nothing, 3, nothing],
    ]
    assert labels.box[0, 0].tolist() == [0, 0, 36, 36]
    assert labels.box[0, 14].tolist() == [40, 52, 46, 60]
    assert labels.centre[0].nonzero().flatten().tolist() == [5, 14]
    assert labels.colour[0, 5] == 2 and labels.colour[0, 14] == 0


def test_an_object_with_its_centre_in_a_cell_wins_over_one_that_covers_more() -> None:
    wide = Thing(0, 0, 0, 8, x=0, y=0, w=39, h=39)
    inside = Thing(1, 1, 1, 8, x=33, y=1, w=6, h=6)  # its centre is in the first row's third cell, as is much of `wide`
    labels = Labels.of([(Frame(0, 0, (inside, wide)),), (Frame(0, 0, (wide, inside)),)], CELL)
    assert labels.category[:, 2].tolist() == [1, 1]


def test_cells_have_their_own_centre_and_their_image() -> None:
    labels = Labels.of([(FRAME, FRAME), (FRAME,)], CELL)
    assert labels.cell[0, 0].tolist() == [8, 8, 8, 8]
    assert labels.cell[2, 6].tolist() == [40, 24, 40, 24]
    assert labels.picture[:, 0].tolist() == [0, 1, 0]


def test_a_perfect_head_has_no_loss_and_every_box() -> None:
    """The far head gets the targets as its input and copies them."""
    labels = Labels.of([(FRAME,)], CELL)
    targets = torch.cat(
        [
            40 * torch.nn.functional.one_hot(labels.category, 5),
            40 * torch.nn.functional.one_hot(labels.colour, 4),
            (labels.box - 32) / 16,
            80 * labels.centre[..., None] - 40,
            40 * torch.nn.functional.one_hot(labels.picture, 3),
        ],
        dim=-1,
    ).float()
    scale = targets.square().mean(-1, keepdim=True).sqrt()  # what the norm before the head divides by
    heads = DenseHeads(targets.shape[-1])
    with torch.no_grad():
        heads.far.weight.copy_(torch.eye(targets.shape[-1]))
        heads.far.bias.zero_()
    heads.far.register_forward_pre_hook(lambda module, inputs: (inputs[0] * scale,))
    parts = heads.loss([targets, targets, targets], torch.ones(1, 16, dtype=torch.bool), labels)
    assert parts["far"] < 1e-3
    assert parts["far_boxes"] == 1.0
