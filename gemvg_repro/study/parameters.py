"""Which parameters does each notebook have, and are the given values valid?"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from ..benchmarks.registry import NAMES
from ..corpora.manifest import MANIFEST
from ..files.validation import suggest
from ..grounding.samples import Mode
from .hub import is_hub_name
from .paths import absolute
from .profiles import check_name
from .variants import BASE, EVALUATED, TRAINED

P = TypeVar("P", bound="Parameters")

_PLAIN = (str, int, float, bool, list, dict, type(None))


class ParameterError(ValueError):
    """A notebook or a grid was given a parameter that does not exist, or a value that is not valid."""


class Parameters(BaseModel):
    """The parameters that all notebooks share; a notebook's `parameters` cell has just its model's fields."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    notebook: ClassVar[str]

    profile: str = "miniature"
    runs: str = "runs"

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]) -> Self:
        """Validates the plain global variables of a notebook: call it in the cell after the parameters.

        Every public global that is a plain value counts, so that a misspelt parameter is found. Whatever a
        later cell remembers belongs on objects, or running this cell again takes it for a parameter.

        Raises:
            ParameterError: naming every wrong name or value, and the valid ones.
        """
        # `In` and `Out` are IPython's own plain globals.
        plain = {k: v for k, v in namespace.items() if type(v) in _PLAIN and k not in ("In", "Out")}
        return cls.check({k: v for k, v in plain.items() if not k.startswith("_")})

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Self:
        """The model of these values, or a ParameterError that names each wrong one and the valid ones."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            problems = "\n".join(f"  {_explain(e, tuple(cls.model_fields))}" for e in error.errors())
            raise ParameterError(
                f"{cls.notebook} cannot start:\n{problems}\n"
                f"Its parameters: {', '.join(cls.model_fields)}. "
                f"`papermill notebooks/{cls.notebook} --help-notebook` explains them."
            ) from None

    @property
    def given(self) -> Path | None:
        """The data that is given in place of the profile's own, absolute: a COCO-format file or a folder of shards."""
        data: str = getattr(self, "data", "")
        return absolute(data) if data else None

    @property
    def images_folder(self) -> Path | None:
        """The folder of the images of `data`, absolute; None where it is to be found."""
        images: str = getattr(self, "images", "")
        return absolute(images) if images else None

    def shared_with(self, kind: type[P]) -> P:
        """The parameters of another notebook that have the same values, where both have them."""
        return kind(**{k: v for k, v in dict(self).items() if k in kind.model_fields})

    @property
    def runs_folder(self) -> Path:
        """The folder of all run directories, absolute."""
        return absolute(self.runs)

    @field_validator("profile")
    @classmethod
    def _profile_exists(cls, name: str) -> str:
        check_name(name)
        return name

    @field_validator("data", check_fields=False)
    @classmethod
    def _data_exists(cls, data: str) -> str:
        given = absolute(data)
        if data and not ((given.is_file() and data.endswith(".json")) or (given / MANIFEST).is_file()):
            raise ValueError(
                f"{data!r} is no file and no folder of shards; expected a COCO-format .json file, a folder with a "
                f"{MANIFEST} (data.ipynb makes one from official files: -p roots), or '' for the profile's data"
            )
        return data

    @field_validator("images", check_fields=False)
    @classmethod
    def _images_exist(cls, images: str) -> str:
        if images and not absolute(images).is_dir():
            raise ValueError(f"{images!r} is no folder; expected the one that the images' paths in `data` start in")
        return images

    @model_validator(mode="after")
    def _images_are_those_of_a_file(self) -> Self:
        if getattr(self, "images", "") and not getattr(self, "data", "").endswith(".json"):
            raise ValueError("images goes with data, a COCO-format .json file, of whose images it is the folder")
        return self


class DataParameters(Parameters):
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
        if isinstance(given, dict):
            return given
        pairs = [pair.partition("=") for pair in shlex.split(given)]
        if wrong := ["".join(pair) for pair in pairs if not all(pair)]:
            raise ValueError(f"{wrong[0]!r} is no NAME=PATH; expected such as 'coco=/data/coco d3=/data/d3'")
        if twice := [name for name, _, _ in pairs if sum(name == other for other, _, _ in pairs) > 1]:
            raise ValueError(f"{twice[0]} is given twice")
        return {name: path for name, _, path in pairs}

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
        given = getattr(self, field)  # a default is not validated, and stays text
        return given if isinstance(given, dict) else {}


class TrainParameters(Parameters):
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
        return _one_of(mode, tuple(TRAINED))

    @property
    def starts_from(self) -> TrainParameters | None:
        """The training that this one continues; None where it starts from the base."""
        parent = TRAINED[self.mode].parent
        return self.model_copy(update={"mode": parent, "prerequisites": "require"}) if parent else None


class EvaluateParameters(Parameters):
    """Of evaluate.ipynb: evaluate one model, with direct and with CoT prompts.

    The model is that of train.ipynb with the same mode, seed, profile, data and steps; for mode `base` the profile's
    base as it is, whatever the seed; or `checkpoint`: a run directory, a folder of weights or a hub's name.
    `samples` above 0 scores only the first so many.

    With `benchmark`, a published one whose files lie at `root`, that checkpoint answers the whole of it instead, with
    the prompts of `prompting`.
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
    benchmark: str = ""
    root: str = ""
    prompting: Mode = "direct"

    @field_validator("mode")
    @classmethod
    def _is_evaluated(cls, mode: str) -> str:
        return _one_of(mode, EVALUATED)

    @model_validator(mode="after")
    def _benchmark_is_complete(self) -> Self:
        if self.benchmark and self.benchmark not in NAMES:
            raise ValueError(f"benchmark = {self.benchmark!r} is none of {', '.join(NAMES)}")
        if bool(self.benchmark) != bool(self.root):
            raise ValueError("benchmark and root go together: the name, and the file or folder of its annotations")
        if self.benchmark and (not self.checkpoint or self.samples or self.mode != "sft"):
            raise ValueError(
                "a benchmark needs a checkpoint and is answered whole: no samples, no mode; "
                "`prompting` chooses its prompts, direct or cot"
            )
        if self.prompting != "direct" and not self.benchmark:
            raise ValueError("prompting goes with a benchmark; every other evaluation has direct and CoT prompts")
        if self.root and not absolute(self.root).exists():
            raise ValueError(
                f"root = {self.root!r} is not there; expected the file or folder that the authors distribute"
            )
        return self

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
    seeds: list[int] = []
    folder: str = Field(default="report", pattern=r"^report[a-z0-9_-]*$")


def _one_of(word: str, valid: tuple[str, ...]) -> str:
    """The word, if it is one of the valid ones; raises ValueError with all of them and the closest."""
    if word not in valid:
        raise ValueError(f"expected {', '.join(map(repr, valid))}{suggest(word, valid)}")
    return word


def _explain(error: ErrorDetails, fields: tuple[str, ...]) -> str:
    name = str(error["loc"][0]) if error["loc"] else "parameters"
    if error["type"] == "extra_forbidden":
        return f"{name}: no such parameter{suggest(name, fields)}"
    valid = str(error.get("ctx", {}).get("expected", "")).replace(" or ", ", ").replace("'", "").split(", ")
    message = error["msg"].removeprefix("Value error, ")
    return f"{name} = {error['input']!r:.200}: {message:.500}{suggest(error['input'], valid)}"
