"""Which run is meant by a notebook's parameters? Resolved once, where a notebook or the launcher begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..runs.directory import result_of
from ..training.settings import GRPOSettings, SFTSettings
from .identity import (
    Identity,
    benchmark_identity,
    data_identity,
    evaluation_identity,
    threads_of,
    training_identity,
)
from .parameters import DataParameters, EvaluateParameters, Parameters, TrainParameters
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
        """The data run that it trains or is evaluated on, or itself."""
        return next((need for need in self.needs if need.kind == "data"), self)  # type: ignore[arg-type]

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
    """Resolves the runs of a plan: each profile is read once, and the spec of each run made once."""

    def __init__(self, load: Callable[[str], Profile] = load_profile) -> None:
        self._load = load
        self._profiles: dict[str, Profile] = {}
        self._specs: dict[tuple[str, str], RunSpec[Any]] = {}

    def __call__(self, parameters: P) -> RunSpec[P]:  # type: ignore[misc]
        """The spec of the run that a notebook with these parameters makes.

        Raises:
            TypeError: it makes none: the report's notebook only reads them.
            ParameterError: nothing is given to train on, and the profile has no data of its own.
            ValueError: the profile's file is wrong.
            Refused, FileNotFoundError: a checkpoint or a hub's name stands for no weights.
        """
        key = (type(parameters).__name__, parameters.model_dump_json())
        if key not in self._specs:
            self._specs[key] = self._resolve(parameters, self.profile(parameters.profile))
        return self._specs[key]

    def profile(self, name: str) -> Profile:
        """The profile of this name."""
        if name not in self._profiles:
            self._profiles[name] = self._load(name)
        return self._profiles[name]

    def _resolve(self, parameters: Parameters, profile: Profile) -> RunSpec[Any]:
        if isinstance(parameters, DataParameters):
            return RunSpec(parameters, profile, data_identity(parameters, profile))
        if isinstance(parameters, EvaluateParameters) and parameters.benchmark:
            return RunSpec(parameters, profile, benchmark_identity(parameters, profile))
        if not isinstance(parameters, TrainParameters | EvaluateParameters):
            raise TypeError(f"{parameters.notebook} makes no run: it only reads them")
        data = self(parameters.shared_with(DataParameters))
        earlier = parameters.starts_from
        start = self(earlier) if earlier else None
        before = start.identity if start else None
        identity = (
            training_identity(parameters, profile, data.identity, before)
            if isinstance(parameters, TrainParameters)
            else evaluation_identity(parameters, profile, data.identity, before)
        )
        return RunSpec(parameters, profile, identity, (start, data) if start else (data,))


def resolve(parameters: P) -> RunSpec[P]:  # type: ignore[misc]
    """The run that a notebook with these parameters makes, with all that it needs. Raises as a `Resolver` does."""
    return Resolver()(parameters)
