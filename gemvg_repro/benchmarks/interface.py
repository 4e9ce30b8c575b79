"""What is a benchmark? It loads samples, says how to ask, reads an answer, and scores.

A new benchmark is one module here that defines a subclass of `Benchmark` or of `TextBenchmark`, and its line in
`registry.NAMES`. Asking and scoring are apart: what a model answered lies in a file, and scoring it takes no
model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..files.validation import Refused
from ..grounding.samples import Mode, Sample
from .prompts import Asking
from .responses import read_responses

Data = TypeVar("Data")
"""What a benchmark's annotation file holds, checked."""

Said = TypeVar("Said")
"""What was answered: texts, or boxes with their images."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number in [0, 1], None where it is not defined, over `n` samples; `share`: of them, it is that of the hits."""

    value: float | None
    n: int
    share: bool = False


@dataclass(frozen=True)
class Score:
    """What an evaluation comes to.

    `official`: the authors' own score; its keys are their names of the metrics, a value is None where their
    script would crash, with the reason beside it. `beside`: what they do not report, ours. `rows`: a table for
    people, one mapping of column to value a row. `headline`: what a table of many models has of it.
    """

    official: Mapping[str, Any]
    beside: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    headline: Mapping[str, Metric] = field(default_factory=dict)


class Benchmark(ABC, Generic[Data, Said]):
    """A published benchmark, read from the files that its authors distribute."""

    @property
    @abstractmethod
    def name(self) -> str:
        """As the command line and the tables have it."""

    @property
    def files(self) -> Sequence[str]:
        """Where the authors' layout has the annotation file below a root; without any, the root itself is loaded."""
        return ()

    def annotations(self, root: Path) -> Path:
        """What `load` takes of a root: a file as it is; of a folder, the first of `files` that is there.

        Raises Refused if none is.
        """
        if not self.files or root.is_file():
            return root
        found = [file for pattern in self.files for file in sorted(root.glob(pattern))]
        if not found:
            raise Refused(f"{root} has no annotations of {self.name}; expected {' or '.join(self.files)} in it")
        return found[0]

    @abstractmethod
    def load(self, file: Path, root: Path | None = None, most_pixels: int | None = None) -> Data:
        """The annotations; image files lie below `root` (default: where the authors' layout has them).

        Pictures are opened only when their pixels are asked for, and scaled down to `most_pixels`. Raises
        Refused with file, record and key of every fault.
        """

    @abstractmethod
    def part(self, data: Data, most: int) -> Data:
        """About the first `most` samples of it, and at least one: a quick look."""

    @abstractmethod
    def samples(self, data: Data, mode: Mode, asking: Asking | None = None) -> list[Sample]:
        """What is asked, in order and in the authors' words by default; the id of the n-th is "<name>/<n>"."""

    @abstractmethod
    def heard(self, data: Data, texts: Sequence[str]) -> Said:
        """What a model's texts say, one for each of `samples`, in order; they are as `responses.spoken` leaves them."""

    @abstractmethod
    def read(self, file: Path, data: Data) -> Said:
        """What a predictions file says: this project's own, or another program's in the authors' format.

        Raises Refused with file, record and key of every fault.
        """

    @abstractmethod
    def score(self, data: Data, said: Said) -> Score:
        """The official score, and ours beside it."""

    @abstractmethod
    def counts(self, data: Data) -> dict[str, int]:
        """How much of what is in the annotations, by task: with the file's hash, its fingerprint."""


class TextBenchmark(Benchmark[Sequence[Data], Sequence[str]]):
    """A benchmark of records that are answered by one text each, which the official script reads as it is."""

    def part(self, data: Sequence[Data], most: int) -> Sequence[Data]:
        return data[:most]

    def heard(self, data: Sequence[Data], texts: Sequence[str]) -> Sequence[str]:
        return texts

    def read(self, file: Path, data: Sequence[Data]) -> Sequence[str]:
        return read_responses(file, self.name, len(data))
