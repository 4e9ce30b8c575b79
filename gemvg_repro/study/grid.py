"""What does a grid file ask: which values are varied, averaged over, held still, and on which machines?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..benchmarks.registry import NAMES
from ..files import yaml_numbers
from ..files.validation import suggest
from .overrides import values
from .parameters import EXPORTED, ParameterError
from .paths import absolute
from .profiles import load_profile
from .resources import Resources
from .variants import TRAINED

AXES = ("mode", "seed", "profile", "data", "images", "steps", "samples")
"""What a grid may vary or fix, beside the values of its profile, by their dotted names."""

Values = Annotated[list[Any], Field(min_length=1)]


class Grid(BaseModel):
    """A question: what is varied, what it must not hang on, what is held still.

    `benchmarks` are those that each variant and seed is evaluated on: the root of a benchmark's files by its name, each
    a run of its own; or, by a word of the user's, several in one run. The root of those of the data run is `exported`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scientific: Mapping[str, Values]
    nuisance: Mapping[str, Values] = {}
    fixed: Mapping[str, Any] = {}
    benchmarks: Mapping[str, str | Mapping[str, str]] = {}
    resources: Resources = Resources()

    @field_validator("scientific", "nuisance", "fixed")
    @classmethod
    def _paths_are_absolute(cls, axes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Its report reads the grid elsewhere."""

        def absolute_path(value: Any) -> Any:
            if isinstance(value, list):
                return [absolute_path(each) for each in value]
            return str(absolute(str(value))) if value else ""

        return {**axes, **{axis: absolute_path(axes[axis]) for axis in ("data", "images") if axis in axes}}

    @field_validator("benchmarks")
    @classmethod
    def _each_benchmark_once(cls, given: Mapping[str, str | Mapping[str, str]]) -> Mapping[str, Any]:
        """Their roots are absolute, like other paths."""
        groups = {key: {key: each} if isinstance(each, str) else each for key, each in given.items()}
        names = [name for group in groups.values() for name in group]
        for name in names:
            if name not in NAMES:
                raise ValueError(f"no benchmark {name!r}{suggest(name, NAMES)}; there are {', '.join(NAMES)}")
            if names.count(name) > 1:
                raise ValueError(f"{name} is named twice, and a report has one score of it")
        roots = {
            key: {name: root if root == EXPORTED else str(absolute(root)) for name, root in group.items()}
            for key, group in groups.items()
        }
        return {key: roots[key][key] if isinstance(each, str) else roots[key] for key, each in given.items()}

    @classmethod
    def load(cls, file: Path, seeds: Sequence[int] | None = None, settings: Sequence[str] = ()) -> Self:
        """Reads a grid file; `seeds` replaces its seeds, `settings` such as `steps=20` or `partition=gpu` the rest.

        Raises:
            ParameterError: naming the file, the wrong key or value, and the valid ones.
        """
        try:
            content = yaml_numbers.load(file.read_text(encoding="utf-8"))
            grid = cls.model_validate(_override(content, settings))
        except FileNotFoundError:
            raise ParameterError(
                f"there is no grid {file}; one comes with the project: sweeps/miniature.yaml"
            ) from None
        except yaml.YAMLError as error:
            raise ParameterError(f"{file} is not YAML: {error}") from None
        except ValidationError as error:
            raise ParameterError(f"{file} is no grid:\n{_explain(error)}") from None
        grid._check_axes(file)
        if seeds:
            where = "scientific" if "seed" in grid.scientific else "nuisance"
            grid = grid.model_copy(update={where: {**getattr(grid, where), "seed": list(seeds)}})
        return grid

    def dump(self) -> str:
        """The grid as a file that `load` reads."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)

    def points(self) -> Iterator[dict[str, Any]]:
        """Every combination of values, the scientific axes outermost within each nuisance combination; values of the
        profile are together under `overrides`."""
        axes = {**{k: [v] for k, v in self.fixed.items()}, **self.nuisance, **self.scientific}
        axes.setdefault("mode", list(TRAINED))
        for combination in product(*axes.values()):
            point = dict(zip(axes, combination, strict=True))
            overrides = {name: point.pop(name) for name in axes if name not in AXES}
            yield {**point, "overrides": overrides} if overrides else point

    @property
    def fixed_overrides(self) -> dict[str, Any]:
        """The values of the profile that are held still."""
        return {name: value for name, value in self.fixed.items() if name not in AXES}

    def benchmark_groups(self) -> list[dict[str, str]]:
        """The benchmarks of each run, with their roots."""
        return [{key: each} if isinstance(each, str) else dict(each) for key, each in self.benchmarks.items()]

    def _check_axes(self, file: Path) -> None:
        """Every axis is one of AXES, or a value or a section of each profile.

        Raises:
            ParameterError: one is neither; the closest one is suggested.
        """
        axes = (*self.scientific, *self.nuisance, *self.fixed)
        dotted = [axis for axis in axes if axis not in AXES]
        profiles = {**self.fixed, **self.nuisance, **self.scientific}.get("profile", "miniature")
        for profile in profiles if isinstance(profiles, list) and dotted else [profiles] if dotted else []:
            try:
                names = values(load_profile(str(profile)))
            except ValueError as error:
                raise ParameterError(f"{file}: {error}") from None
            for axis in dotted:
                if axis not in names and not any(name.startswith(f"{axis}.") for name in names):
                    raise ParameterError(
                        f"{file}: no axis {axis!r}{suggest(axis, (*AXES, *names))}. Axes: {', '.join(AXES)}, and every"
                        " value of the profile by its dotted name, such as grpo.rollouts"
                    )


def _override(content: Any, settings: Sequence[str]) -> Any:
    """A grid's content with `key=value` settings: an axis is held at one value, a benchmark is at this root (null: not
    asked), anything else is a resource.

    Raises:
        ParameterError: naming the wrong setting and the valid keys.
    """
    if not settings or not isinstance(content, dict) or not all(isinstance(v or {}, dict) for v in content.values()):
        return content  # what is wrong with it is told by the model
    content = {key: dict(value or {}) for key, value in content.items()}
    for setting in settings:
        key, equals, text = setting.partition("=")
        valid = (*AXES, "benchmarks.NAME", *(name for name in Resources.model_fields if name != "kinds"))
        if not equals or (key not in valid and "." not in key):
            raise ParameterError(
                f"--set {setting}: expected KEY=VALUE{suggest(key, valid)}. Keys: {', '.join(valid)}, and every value"
                " of the profile by its dotted name, such as grpo.rollouts"
            )
        try:
            value = yaml_numbers.load(text)
        except yaml.YAMLError as error:
            raise ParameterError(f"--set {setting}: the value is not YAML: {error}") from None
        if key.startswith("benchmarks."):
            content.setdefault("benchmarks", {})[key.removeprefix("benchmarks.")] = value
            content["benchmarks"] = {name: root for name, root in content["benchmarks"].items() if root is not None}
        elif key in AXES or "." in key:
            for axes in ("scientific", "nuisance", "fixed"):
                content.get(axes, {}).pop(key, None)
            content.setdefault("fixed", {})[key] = value
        else:
            content.setdefault("resources", {})[key] = value
    return content


def _explain(error: ValidationError) -> str:
    return "\n".join(f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
