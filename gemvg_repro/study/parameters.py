"""Which parameters does each notebook have, and are the given values valid?"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from ..benchmarks.registry import NAMES
from .hub import is_hub_name
from .parameter_checks import ParameterError, Parameters, RunParameters, one_of, paths_by_name
from .paths import absolute
from .variants import BASE, EVALUATED, TRAINED

__all__ = [
    "DataParameters",
    "EvaluateParameters",
    "ParameterError",
    "Parameters",
    "ReportParameters",
    "TrainParameters",
]

EXPORTED = "exported"
"""In place of the root of a benchmark: it is the data run's own."""


class DataParameters(RunParameters):
    """Of data.ipynb: make the data, and draw so many samples of each kind with their boxes.

    With `roots`, the official downloads of sources by name, a training set is composed from them, a `share` of the
    recipe's counts; what occurs in one of the benchmarks of `exclude` is left out. Both are NAME=PATH, several
    with blanks between them (quoted like a shell's where a path has blanks), or a mapping.
    """

    notebook: ClassVar[str] = "data.ipynb"

    data: str = ""
    images: str = ""
    roots: str | dict[str, str] = ""
    exclude: str | dict[str, str] = ""
    share: float = Field(default=1.0, gt=0, le=1)
    embed: bool = False
    drawn: int = Field(default=2, ge=1)

    @field_validator("roots", "exclude")
    @classmethod
    def _paths_by_name(cls, given: str | dict[str, str]) -> dict[str, str]:
        return paths_by_name(given, "coco=/data/coco d3=/data/d3")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.roots and self.data:
            raise ValueError("roots make data and data is given: only one of them")
        if not self.roots and (self.exclude or self.embed or self.share != 1):
            raise ValueError("exclude, embed and share say how data is made of roots, and no roots are given")
        return self

    @property
    def sources(self) -> dict[str, Path]:
        """The root of each source that is given."""
        return {name: absolute(path) for name, path in self._by_name("roots").items()}

    @property
    def benchmarks(self) -> dict[str, tuple[Path, Path | None]]:
        """The annotation file of each benchmark to leave out, and the folder of its images: FILE or FILE,IMAGES."""
        parted = {name: path.partition(",") for name, path in self._by_name("exclude").items()}
        return {
            name: (absolute(file), absolute(images) if images else None) for name, (file, _, images) in parted.items()
        }

    def _by_name(self, field: str) -> dict[str, str]:
        return paths_by_name(getattr(self, field), "")  # a default is not validated, and stays text


class TrainParameters(RunParameters):
    """Of train.ipynb: one training run.

    `steps` above 0 stops this run, and the prerequisites that it trains, after that many optimiser steps:
    a smaller study with ids of its own. `sft_more` then takes what so many steps of GRPO cost.
    """

    notebook: ClassVar[str] = "train.ipynb"

    mode: str = "sft"
    seed: int = Field(default=0, ge=0)
    data: str = ""
    images: str = ""
    steps: int = Field(default=0, ge=0)
    prerequisites: Literal["train", "require"] = "train"

    @field_validator("mode")
    @classmethod
    def _is_trained(cls, mode: str) -> str:
        if mode == BASE:
            raise ValueError("the base is not trained; notebooks/evaluate.ipynb evaluates it as it is")
        return one_of(mode, tuple(TRAINED))

    @property
    def starts_from(self) -> TrainParameters | None:
        """The training that this one continues; None where it starts from the base."""
        parent = TRAINED[self.mode].parent
        return self.model_copy(update={"mode": parent, "prerequisites": "require"}) if parent else None


class EvaluateParameters(RunParameters):
    """Of evaluate.ipynb: evaluate one model, with direct and with CoT prompts.

    The model is that of train.ipynb with the same mode, seed, profile, data and steps; for mode `base` the profile's
    base as it is, whatever the seed; or `checkpoint`: a run directory, a folder of weights or a hub's name.
    `samples` above 0 scores only the first so many.

    With `benchmarks`, NAME=ROOT, several with blanks between them, or a mapping, that model answers these instead: the
    files of a benchmark lie at its root; those that the profile's data run exports have the root `exported`.
    """

    notebook: ClassVar[str] = "evaluate.ipynb"

    mode: str = "sft"
    seed: int = Field(default=0, ge=0)
    data: str = ""
    images: str = ""
    steps: int = Field(default=0, ge=0)
    checkpoint: str = ""
    samples: int = Field(default=0, ge=0)
    prerequisites: Literal["train", "require"] = "train"
    benchmarks: str | dict[str, str] = ""

    @field_validator("mode")
    @classmethod
    def _is_evaluated(cls, mode: str) -> str:
        return one_of(mode, EVALUATED)

    @field_validator("benchmarks")
    @classmethod
    def _benchmarks_by_name(cls, given: str | dict[str, str]) -> str | dict[str, str]:
        by_name = paths_by_name(given, "mig_bench=/data/MIG-Bench mc_bench=/data/MC-Bench")
        for name in by_name:
            one_of(name, tuple(NAMES))
        return by_name or ""

    @property
    def roots(self) -> dict[str, Path | None]:
        """The root of each benchmark that is answered; None of those that the data run exports."""
        given = paths_by_name(self.benchmarks, "")
        return {name: None if root == EXPORTED else absolute(root) for name, root in given.items()}

    @field_validator("checkpoint")
    @classmethod
    def _checkpoint_exists(cls, checkpoint: str) -> str:
        if checkpoint and not absolute(checkpoint).is_dir() and not is_hub_name(checkpoint):
            raise ValueError(
                f"{checkpoint!r} is no folder; expected a run directory, a folder of weights, a model's name on the"
                " Hugging Face hub, such as Qwen/Qwen2-VL-7B-Instruct, or ''"
            )
        return checkpoint

    @property
    def starts_from(self) -> TrainParameters | None:
        """The training whose model is evaluated; None for the base, or a given checkpoint."""
        if self.mode == BASE or self.checkpoint:
            return None
        return self.shared_with(TrainParameters).model_copy(update={"prerequisites": "require"})


class ReportParameters(Parameters):
    """Of report.ipynb: what the runs say, beside what `grid` planned, with its own seeds or with these.

    `folder`, within `runs`, is where the report is written.
    """

    notebook: ClassVar[str] = "report.ipynb"

    grid: str = "sweeps/miniature.yaml"
    seeds: list[int] = Field(default=[])
    folder: str = Field(default="report", pattern=r"^report[a-z0-9_-]*$")
