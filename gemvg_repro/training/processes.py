"""The processes of one data-parallel training, as torch.distributed.run starts them; without it there is one.

Each has the whole model and a share of every batch and of the optimiser's state. Whatever may differ between them (a
stop that one has seen, an error of one) is agreed on here before they act on it: else one of them would wait for ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from ..files.validation import Refused

T = TypeVar("T")

PATIENCE = timedelta(hours=1)
"""How long processes wait for one of them that lives: saving 93 GB to a slow disk, say. One that ended is noticed at
once."""


class OtherProcessFailed(RuntimeError):
    """Another process of this training met an error, and says which."""


def join() -> None:
    """Makes this process, started by torch.distributed.run, one of the training's. Tensors of the CPU go by gloo."""
    os.environ["ACCELERATE_USE_CPU"] = str(not torch.cuda.is_available())  # accelerate then takes gloo, too
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)


def leave() -> None:
    """Ends what `join` began."""
    with suppress(Exception):
        distributed.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def gathered(value: T) -> list[T]:
    """The values of all processes, by rank."""
    values: list[Any] = [None] * count()
    if count() == 1:
        return [value]
    distributed.all_gather_object(values, value)
    return values


def any_of(flag: bool) -> bool:
    """Whether it is True in one process at least."""
    return any(gathered(flag))


def all_succeed(error: BaseException | None) -> None:
    """Raises in every process, if one met an error; its own in that one.

    Raises:
        OtherProcessFailed: naming the process and its error.
    """
    errors = gathered(None if error is None else f"{type(error).__name__}: {error}")
    if error is not None:
        raise error
    for number, text in enumerate(errors):
        if text is not None:
            raise OtherProcessFailed(f"process {number}: {text}")


def from_first(make: Callable[[], T]) -> T:
    """What the first process makes, in all of them. Raises what `make` does, and OtherProcessFailed in the others."""
    value, error = None, None
    if rank() == 0:
        try:
            value = make()
        except Exception as met:
            error = met
    all_succeed(error)
    values = [value]
    if count() > 1:
        distributed.broadcast_object_list(values, 0)
    return values[0]  # type: ignore[return-value]


def micro_batch(rows: int, most: int, unit: int = 1) -> int:
    """The rows that pass through the model at a time in each process: the most that divide its share of the batch.

    Args:
        rows: of an optimiser step, over all processes.
        most: what fits a process.
        unit: rows of the batch that stay in one process.

    Raises:
        Refused: the batch cannot be shared out among so many processes.
    """
    if rows % (count() * unit):
        units = rows // unit
        valid = ", ".join(str(n) for n in range(1, units + 1) if units % n == 0)
        raise Refused(
            f"{count()} processes cannot share a batch of {rows}{f' in groups of {unit}' if unit > 1 else ''};"
            f" possible numbers of processes: {valid}. Set `gpus` (and `nodes`) accordingly"
        )
    share = rows // count()
    return max(size for size in range(1, min(most, share) + 1) if share % size == 0)
