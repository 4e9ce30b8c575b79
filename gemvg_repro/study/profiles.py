"""Which constants does a study have? Every one, by profile: the miniature's and the paper's scale."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from ..corpora.recipe import Stage
from ..files import yaml_numbers
from ..grounding.samples import Kind, Mode
from ..miniature.dataset import Recipe
from ..training.settings import GRPOSettings, SFTSettings
from .overrides import applied, flat, text, values
from .paths import PACKAGE

FOLDER = Path(__file__).parent / "scales"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Composition(_Strict):
    """How a training set is composed: by a `recipe` of this package, and how large a `share` of its counts.

    `exported` is the number of pictures of each source that the world gives in its official format; without any, the
    official downloads are given to the notebook. `without` is a kind of samples that is left out.

    With `prompts`, so many samples for GRPO are composed by the same recipe, about pictures of their own: as many for
    each as SFT's samples have. Each has up to `prompt_turns` questions. Without, GRPO has the recipe's share of the
    training set.
    """

    recipe: str
    share: float = Field(default=1.0, gt=0, le=1)
    exported: Mapping[str, int] = {}
    prompts: int = Field(default=0, ge=0)
    prompt_turns: int = Field(default=1, ge=1, le=16)
    without: Kind | None = None

    @model_serializer(mode="wrap")
    def _as_before(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Where nothing is left out, this does not say so: the ids of data are what they were."""
        content: dict[str, Any] = serialise(self)
        return {name: value for name, value in content.items() if name != "without" or value is not None}

    @property
    def file(self) -> Path:
        return PACKAGE / self.recipe


class DataSettings(_Strict):
    """Where samples come from: held-out ones are the world's, by `recipe`, or of a file that is given (None).

    The training set is composed, by `composition`. `benchmarks` are those that the world holds in official formats,
    with the size of each (see `miniature.exports`). `composed` is the number of samples of semantic association that
    are composed from a given file, with `seed`; pictures are decoded to at most `most_pixels` (None: as they are).
    """

    recipe: Recipe | None
    composition: Composition
    benchmarks: Mapping[str, int] = {}
    composed: int
    seed: int
    most_pixels: int | None


class EvaluationSettings(_Strict):
    """How models answer: greedily, `batch` prompts at a time, up to so many tokens in each mode.

    The first `shortcut_samples` of the test set are also put with grey and with shuffled pictures.
    """

    batch: int
    max_new_tokens: Mapping[Mode, int]
    shortcut_samples: int


class WatchSettings(_Strict):
    """Of how many validation samples greedy answers are measured while a training goes on, and `every` how many steps
    of each stage. Moves no number of a training, and no id."""

    samples: int = Field(gt=0)
    every: Mapping[Stage, int]


class Profile(_Strict):
    """A scale. The sections data, sft, cot_sft, grpo and evaluate move the runs of their stage and what follows.

    `overrides` are the values that are not those of the file, by dotted name.
    `base` is a checkpoint: a folder of this package, a hub's name or any folder. `coordinate_step` is that of
    the integers 0 to 1000 in answers; `dtype` that of the weights. `max_pixels` bounds a picture after
    resizing (None: the checkpoint's own bound). `threads` of the CPU by kind of run. `loader_workers` are processes of
    a training that make batches ahead (0: none), to the same bits. `prefix_sharing`: whether GRPO computes a prompt
    once for all of its rollouts; without, numbers move by rounding.
    """

    name: str
    overrides: Mapping[str, Any] = Field(default={}, exclude=True)
    base: str
    dtype: str
    max_pixels: int | None
    coordinate_step: int
    threads: Mapping[str, int]
    loader_workers: int = Field(ge=0)
    prefix_sharing: bool
    data: DataSettings
    sft: SFTSettings
    cot_sft: SFTSettings
    grpo: GRPOSettings
    evaluate: EvaluationSettings
    watching: WatchSettings

    @model_validator(mode="after")
    def _whole_batches(self) -> Self:
        for stage in (self.sft, self.cot_sft):
            if stage.conversations % stage.micro_batch:
                raise ValueError(
                    f"conversations {stage.conversations} is no multiple of micro_batch {stage.micro_batch}"
                )
        if self.grpo.save_every % self.grpo.iterations:
            raise ValueError(
                f"grpo: save_every {self.grpo.save_every} is no multiple of iterations {self.grpo.iterations}: between"
                " them steps share rollouts, which no checkpoint has"
            )
        if self.grpo.prompts * self.grpo.rollouts % self.grpo.micro_batch or self.grpo.rollouts % 4:
            raise ValueError("grpo: micro_batch must divide prompts * rollouts, and 4 must divide rollouts")
        return self

    def base_folder(self) -> str:
        """What `models.load` takes: a folder of the package where `base` is one, else `base` itself."""
        inside = PACKAGE / self.base
        return str(inside) if inside.is_dir() else self.base


def check_name(name: str) -> None:
    """Raises ValueError, with the valid names, unless there is a profile of this name."""
    known = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if name not in known:
        raise ValueError(f"no profile {name!r}; there are {', '.join(known)}, in {FOLDER}")


def _content(file: Path) -> dict[str, Any]:
    """The content of a profile's file; one that is `like` another holds what it has otherwise, by dotted name."""
    own: dict[str, Any] = yaml_numbers.load(file.read_text("utf-8"))
    like = own.pop("like", None)
    return own if like is None else applied(_content(FOLDER / f"{like}.yaml"), own)


def load_profile(name: str, overrides: Mapping[str, Any] = MappingProxyType({})) -> Profile:
    """Reads a profile of this package, by name; `resolve` does so once for a run, and passes it on.

    Args:
        name: such as `miniature`.
        overrides: values in place of the file's, by dotted name; of those that are the file's own none is recorded.

    Raises:
        ValueError: there is none of that name (the valid ones are listed), its file is wrong, or an override names no
            value of it or is no valid one.
    """
    check_name(name)
    file = FOLDER / f"{name}.yaml"
    content = _content(file)
    try:
        profile = Profile.model_validate({"name": name, **content})
    except ValidationError as error:
        raise ValueError(f"{file} is no profile:\n{error}") from None
    if not overrides:
        return profile
    own = values(profile)
    single = flat(overrides, own)
    try:
        changed = Profile.model_validate({"name": name, **applied(content, single)})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ValueError(f"with {text(single)} {file.name} is no profile: {problems}") from None
    theirs = {**single, **values(changed)}  # a value that is a section now, such as `lora`, is as it was given
    moved = {each: theirs[each] for each in single if theirs[each] != own[each]}
    return changed.model_copy(update={"overrides": moved})
