"""How do the answers to one prompt share it in a forward pass? As branches of one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from .collator import IGNORED

_TRUNK, _PADDING = 0, -1


@dataclass(frozen=True)
class Branches:
    """Prompts with their answers, one row each: the prompt without its last token, then for each answer that token
    again and the answer without its last. A branch sees the trunk and itself, from the places it has when it
    is alone: what it says is what it says in a row of its own, but the prompt is read once.

    Attributes:
        input_ids: (prompts, longest), padded on the right.
        position_ids: (3, prompts, longest), M-RoPE's.
        visible: (prompts, 1, longest, longest), whether a token (third axis) sees another (fourth).
        targets: (prompts, longest), the token of the answer that follows each, IGNORED where none does.
        places: (tokens of all answers,), where each is predicted, in the flattened rows, answer by answer.
    """

    input_ids: Tensor
    position_ids: Tensor
    visible: Tensor
    targets: Tensor
    places: Tensor

    @classmethod
    def of(cls, prompts: Sequence[Tensor], positions: Sequence[Tensor], answers: Sequence[Tensor],
           asked: Sequence[int], padding: int, image_token: int) -> Self:  # fmt: skip
        """`asked`: the prompt that each of the `answers` is to; `positions`: (3, length) of each prompt.

        Prompts end in a token of text, and no answer is empty. An answer may have an `image_token`, which is drawn now
        and then as any token is; the model, which would look for a picture there, is shown `padding` in its place.
        """
        lengths = [len(prompt) - 1 for prompt in prompts]
        starts = []
        for prompt, answer in zip(asked, answers, strict=True):
            starts.append(lengths[prompt])
            lengths[prompt] += len(answer)
        longest = max(lengths)
        device = prompts[0].device
        ids = torch.full((len(prompts), longest), padding, device=device)
        places = torch.zeros((3, len(prompts), longest), dtype=torch.long, device=device)
        branch = torch.full((len(prompts), longest), _PADDING, device=device)
        targets = torch.full((len(prompts), longest), IGNORED, device=device)
        for row, (tokens, position) in enumerate(zip(prompts, positions, strict=True)):
            trunk = len(tokens) - 1
            ids[row, :trunk], places[:, row, :trunk], branch[row, :trunk] = tokens[:-1], position[:, :-1], _TRUNK
        at = []
        for number, (row, start, answer) in enumerate(zip(asked, starts, answers, strict=True)):
            span = slice(start, start + len(answer))
            ids[row, span] = torch.cat(
                [prompts[row][-1:], answer[:-1].masked_fill(answer[:-1] == image_token, padding)]
            )
            places[:, row, span] = positions[row][:, -1:] + torch.arange(len(answer), device=device)
            branch[row, span] = number + 1
            targets[row, span] = answer
            at.append(row * longest + start + torch.arange(len(answer), device=device))
        visible = (branch[:, None, :] == _TRUNK) | (branch[:, None, :] == branch[:, :, None])
        return cls(ids, places, visible.tril()[:, None], targets, torch.cat(at))
