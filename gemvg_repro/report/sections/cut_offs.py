"""What does a table say about answers that were cut off at their limit of tokens?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..labels import MODES, SHIFTS
from ..numbers.collect import Collection
from ..numbers.cut_offs import cut_offs

OWN = {
    "generalised": "the generalised test set",
    "understanding": "understanding",
    "understanding_shuffled": "understanding with shuffled images",
    "blind": "grey images",
    "shuffled": "shuffled images",
    **SHIFTS,
}
"""The benchmarks of the project's own samples, as a note names them."""


def cut_off_notes(collection: Collection | None, published: Mapping[str, str] | None = None) -> Iterator[str]:
    """A note on the answers that were cut off, in our own benchmarks; or, with their labels, in the published ones."""
    labels = OWN if published is None else published
    parts = [
        f"{labels.get(benchmark, benchmark)}, {MODES.get(mode, mode)} prompts, {reached:,} of {responses:,} "
        f"(limit {limit:,} tokens)"
        for (benchmark, mode), (reached, responses, limit) in sorted(cut_offs(collection).items() if collection else ())
        if (benchmark in OWN) == (published is None)
    ]
    if parts:
        yield f"Answers that were cut off at their limit, in the runs that have any: {'; '.join(parts)}."
