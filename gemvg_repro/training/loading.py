"""Collation ahead of the model, in worker processes that are sent the items of their batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler

_PER_WORKER = 2
"""Batches that a worker is ahead: they lie in shared memory, at 7B some 60 MB each in SFT and 0.6 GB in GRPO."""


def loader_arguments(workers: int) -> dict[str, Any]:
    """TrainingArguments that collate in so many processes; 0: in the training's own, when a batch is needed.

    Workers are spawned. Forked ones would take along the locks of the kernel's threads and the run's own lock, which a
    killed training must give up at once; those of a fork server would outlive it.
    """
    if workers == 0:
        return {"dataloader_num_workers": 0}
    return {
        "dataloader_num_workers": workers,
        "dataloader_prefetch_factor": _PER_WORKER,
        "dataloader_multiprocessing_context": "spawn",
    }


class CollatesItems:
    """Mixin for a transformers Trainer: the collator receives `items`, by the row of the train_dataset."""

    items: Sequence[Any]

    def _get_dataloader(
        self, dataset: Any, description: str, batch_size: int, sampler_fn: Any = None, **kwargs: Any
    ) -> DataLoader[Any]:
        def sampler(dataset: Any) -> Sampler[Any]:
            return _ItemSampler(self.items, sampler_fn(dataset))

        loader: DataLoader[Any] = super()._get_dataloader(  # type: ignore[misc]
            _ByValue(len(dataset)), description, batch_size, sampler, **kwargs
        )
        return loader


class _ByValue(Dataset[Any]):
    """Gives what it is asked for: a worker gets the items of its batches, and no copy of all."""

    def __init__(self, length: int):
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, item: Any) -> Any:
        return item


class _ItemSampler(Sampler[Any]):
    """The items in the order of their numbers; None stays None."""

    def __init__(self, items: Sequence[Any], numbers: Sampler[Any]):
        self._items = items
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        return (None if number is None else self._items[number] for number in self._numbers)
