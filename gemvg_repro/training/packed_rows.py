"""Packs a prompt and all of its completions into one row, so that a forward pass computes the prompt once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from .collator import IGNORED

_PREFIX, _PADDING = 0, -1


@dataclass(frozen=True)
class PackedRows:
    """One row a prompt: its prefix (all but the last token), then for each completion the prompt's last token and the
    completion without its last. A completion attends to the prefix and to itself, at the positions that it has in a row
    of its own: log-probabilities are the same, but the prefix is computed once.

    Attributes:
        input_ids: (prompts, longest), padded on the right.
        position_ids: (3, prompts, longest), M-RoPE's.
        mask: (prompts, 1, longest, longest), whether a query (third axis) attends to a key (fourth).
        targets: (prompts, longest), the completion's token that follows each, IGNORED where none does.
        indices: (tokens of all completions,), where each is predicted in the flattened rows, by completion.
    """

    input_ids: Tensor
    position_ids: Tensor
    mask: Tensor
    targets: Tensor
    indices: Tensor

    @classmethod
    def pack(cls, prompts: Sequence[Tensor], positions: Sequence[Tensor], completions: Sequence[Tensor],
             prompt_of: Sequence[int], padding: int, image_token: int) -> Self:  # fmt: skip
        """Packs token ids.

        Args:
            prompts: (length,) each; the last token is of text.
            positions: (3, length) of each prompt, M-RoPE's.
            completions: (length,) each, none empty.
            prompt_of: the prompt of each completion.
            padding: the id of the padding token.
            image_token: the id of the image token. A completion may have one, which is sampled now and then as any
                token is; the model, which would expect an image there, gets `padding` in its place.
        """
        lengths = [len(prompt) - 1 for prompt in prompts]
        starts = []
        for prompt, completion in zip(prompt_of, completions, strict=True):
            starts.append(lengths[prompt])
            lengths[prompt] += len(completion)
        longest = max(lengths)
        device = prompts[0].device
        ids = torch.full((len(prompts), longest), padding, device=device)
        position_ids = torch.zeros((3, len(prompts), longest), dtype=torch.long, device=device)
        segment = torch.full((len(prompts), longest), _PADDING, device=device)
        targets = torch.full((len(prompts), longest), IGNORED, device=device)
        for row, (tokens, position) in enumerate(zip(prompts, positions, strict=True)):
            end = len(tokens) - 1
            ids[row, :end], position_ids[:, row, :end], segment[row, :end] = tokens[:-1], position[:, :-1], _PREFIX
        indices = []
        for number, (row, start, completion) in enumerate(zip(prompt_of, starts, completions, strict=True)):
            span = slice(start, start + len(completion))
            visible = completion[:-1].masked_fill(completion[:-1] == image_token, padding)
            ids[row, span] = torch.cat([prompts[row][-1:], visible])
            position_ids[:, row, span] = positions[row][:, -1:] + torch.arange(len(completion), device=device)
            segment[row, span] = number + 1
            targets[row, span] = completion
            indices.append(row * longest + start + torch.arange(len(completion), device=device))
        mask = (segment[:, None, :] == _PREFIX) | (segment[:, None, :] == segment[:, :, None])
        return cls(ids, position_ids, mask.tril()[:, None], targets, torch.cat(indices))
