"""Which run is meant by a notebook's parameters? Resolved once, where a notebook or the launcher begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from ..runs.directory import result_of
from ..training.settings import GRPOSettings, SFTSettings
from .benchmark_content import Reading, content_of
from .identity import (
    Identity,
    benchmarks_identity,
    data_identity,
    evaluation_identity,
    threads_of,
    training_identity,
)
from .parameter_checks import RunParameters
from .parameters import EXPORTED, DataParameters, EvaluateParameters, ParameterError, Parameters, TrainParameters
from .profiles import Profile, load_profile
from .variants import TRAINED, Variant

P = TypeVar("P", bound=Parameters, covariant=True)


@dataclass(frozen=True)
class RunSpec(Generic[P]):
    """A run, before it exists; passed on to whatever carries it out.

    Attributes:
        parameters: of its notebook.
        profile: all constants of its scale.
        identity: its name, and what moves its numbers.
        needs: the runs that must be finished first: the training that it starts from or evaluates, and the data.
    """

    parameters: P
    profile: Profile
    identity: Identity
    needs: tuple[RunSpec[Any], ...] = ()

    @property
    def folder(self) -> Path:
        """The run directory, whether it exists or not."""
        return self.parameters.runs_folder / self.identity.folder_name

    @property
    def result(self) -> dict[str, Any] | None:
        """The run's result; None while it is not finished."""
        return result_of(self.folder)

    @property
    def kind(self) -> str:
        """`data`, `evaluate`, or the mode of a training."""
        if isinstance(self.parameters, TrainParameters):
            return self.parameters.mode
        return "data" if isinstance(self.parameters, DataParameters) else "evaluate"

    @property
    def threads(self) -> int:
        """How many threads the run computes with."""
        return threads_of(self.kind, self.profile)

    @property
    def variant(self) -> Variant | None:
        """The variant that the run trains; None where it trains none."""
        return TRAINED.get(self.kind)

    @property
    def data(self) -> RunSpec[DataParameters]:
        """The data run that it or its model is trained on, or itself."""
        return next((need for need in self.chain if need.kind == "data"), self)  # type: ignore[arg-type]

    @property
    def start(self) -> RunSpec[TrainParameters] | None:
        """The training that it starts from or evaluates; None for the base, or a checkpoint."""
        return next((need for need in self.needs if need.variant), None)

    @property
    def chain(self) -> tuple[RunSpec[Any], ...]:
        """The runs that it needs, each once, in an order that they can run in, and itself."""
        before = {spec.folder: spec for need in self.needs for spec in need.chain}
        return (*before.values(), self)

    @property
    def sft(self) -> Mapping[str, SFTSettings]:
        """The settings of the supervised stages by mode, with as many steps as the parameters say."""
        stages = {"sft": self.profile.sft, "cot_sft": self.profile.cot_sft}
        return {mode: settings.for_steps(self._steps) for mode, settings in stages.items()}

    @property
    def grpo(self) -> GRPOSettings:
        """The settings of GRPO, with as many steps as the parameters say."""
        return self.profile.grpo.for_steps(self._steps)

    @property
    def _steps(self) -> int:
        return int(getattr(self.parameters, "steps", 0))


class Resolver:
    """Resolves the runs of a plan: each profile is read once, and the spec of each run made once.

    Args:
        load: reads a profile, by name, with overrides.
        reading: whether the files of benchmarks may be read, and remembered.
    """

    def __init__(
        self, load: Callable[[str, Mapping[str, Any]], Profile] = load_profile, reading: Reading = "remember"
    ) -> None:
        self._load = load
        self._reading = reading
        self._profiles: dict[tuple[str, str], Profile] = {}
        self._specs: dict[tuple[str, str], RunSpec[Any]] = {}
        self._contents: dict[tuple[str, Path], dict[str, Any] | None] = {}

    def __call__(self, parameters: P) -> RunSpec[P]:  # type: ignore[misc]
        """The spec of the run that a notebook with these parameters makes.

        Its parameters name only those overrides that move it.

        Raises:
            TypeError: it makes none: the report's notebook only reads them.
            ParameterError: nothing is given to train on, and the profile has no data of its own; an override is not
                valid; a benchmark is not exported that is said to be.
            ValueError: the profile's file is wrong.
            Refused, FileNotFoundError: a checkpoint or a hub's name stands for no weights, files of a benchmark are
                missing.
        """
        key = (type(parameters).__name__, parameters.model_dump_json())
        if key not in self._specs:
            spec = self._resolve(parameters)
            moving = {"overrides": dict(spec.identity.overrides) or ""}
            self._specs[key] = replace(spec, parameters=spec.parameters.model_copy(update=moving))
        return self._specs[key]

    def profile(self, name: str, overrides: Mapping[str, Any] = MappingProxyType({})) -> Profile:
        """The profile of this name, with these values in place of its own."""
        key = (name, repr(sorted(overrides.items())))
        if key not in self._profiles:
            try:
                self._profiles[key] = self._load(name, overrides)
            except ValueError as error:
                raise ParameterError(str(error)) if overrides else error from None
        return self._profiles[key]

    def _resolve(self, parameters: Parameters) -> RunSpec[Any]:
        if not isinstance(parameters, RunParameters):
            raise TypeError(f"{parameters.notebook} makes no run: it only reads them")
        profile = self.profile(parameters.profile, parameters.overridden)
        if isinstance(parameters, DataParameters):
            return RunSpec(parameters, profile, data_identity(parameters, profile))
        if not isinstance(parameters, TrainParameters | EvaluateParameters):
            raise TypeError(f"{parameters.notebook} makes no run")
        earlier = parameters.starts_from
        start = self(earlier) if earlier else None
        before = start.identity if start else None
        if isinstance(parameters, EvaluateParameters) and parameters.benchmarks:
            return self._of_benchmarks(parameters, profile, start)
        data = self(parameters.shared_with(DataParameters))
        identity = (
            training_identity(parameters, profile, data.identity, before)
            if isinstance(parameters, TrainParameters)
            else evaluation_identity(parameters, profile, data.identity, before)
        )
        return RunSpec(parameters, profile, identity, (start, data) if start else (data,))

    def _of_benchmarks(
        self, parameters: EvaluateParameters, profile: Profile, start: RunSpec[TrainParameters] | None
    ) -> RunSpec[EvaluateParameters]:
        """Needs its model's training, and the data run where that exports one of the benchmarks."""
        roots = parameters.roots
        data = None if all(roots.values()) else self(parameters.shared_with(DataParameters))
        _check_exports(parameters, profile)
        contents = {name: self._content(name, root, parameters.runs_folder) for name, root in roots.items() if root}
        identity = benchmarks_identity(
            parameters, profile, data.identity if data else None, start.identity if start else None, contents
        )
        if start is None:
            parameters = parameters.model_copy(update={"data": "", "images": ""})  # it is of none
        return RunSpec(parameters, profile, identity, tuple(need for need in (start, data) if need))

    def _content(self, name: str, root: Path, runs: Path) -> dict[str, Any] | None:
        if (name, root) not in self._contents:
            if self._reading != "look" and not root.exists():
                raise ParameterError(
                    f"benchmarks: {name} = {str(root)!r} is not there; expected the file or folder that its authors "
                    "distribute"
                )
            self._contents[name, root] = content_of(name, root, runs, self._reading)
        return self._contents[name, root]


def _check_exports(parameters: EvaluateParameters, profile: Profile) -> None:
    drawn = () if parameters.data or profile.data.recipe is None else tuple(profile.data.benchmarks)
    for name, root in parameters.roots.items():
        if root is None and name not in drawn:
            raise ParameterError(
                f"benchmarks: {name} is said to be {EXPORTED}, and the data of this study exports "
                f"{', '.join(drawn) or 'none'}: give the file or folder that its authors distribute"
            )


def resolve(parameters: P) -> RunSpec[P]:  # type: ignore[misc]
    """The run that a notebook with these parameters makes, with all that it needs. Raises as a `Resolver` does."""
    return Resolver()(parameters)
