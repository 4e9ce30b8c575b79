"""The resources that a run needs of this machine or of a Slurm cluster.

Nothing here moves a number, and nothing of it enters a run's id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .devices import DEVICES
from .variants import TRAINED

KINDS = ("data", *TRAINED, "evaluate", "report")
"""The kinds of runs that may have needs of their own: the training modes and the other notebooks."""

START_S = 60
"""Within so many seconds a job's Python handles signals."""
EARLY_S = 60
"""Slurm may send the signal so many seconds earlier than requested (sbatch(1), --signal)."""

MIN_SIGNAL_S = 20
"""A run notices within so many seconds that it is told to save, and is requeued."""
FIRST_SIGNAL_S = 120
"""Without `signal_s`: the seconds for the first save, before it is known how long one takes."""
SAVE_RESERVE = 1.5
"""A file system may be slower the next time."""


class Needs(BaseModel):
    """What one run requests of the cluster, in sbatch's terms.

    Attributes:
        nodes: of a training, which runs as many processes on each; other runs take one.
        gpus: on each node.
        gpu: the kind of them (study/devices.py), by which memory and hours are estimated before a run is submitted;
            where a partition has several kinds, `constraint` chooses.
        cpus: None: as many as the run has threads.
        mem_gb: of memory on each node; None: the cluster's default.
        timeout_min: the time limit of one attempt; a run that needs more is requeued and goes on.
        cpu_fallback: let a run that requests GPUs and sees fewer compute with what it sees; else it stops.
        signal_s: seconds before the limit at which the run is told to save; None: as its saves turn out to need.
        setup: shell commands before the run, such as `module load cuda`.
        parallel: how many runs of a variant may run side by side; None: all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    nodes: int = Field(default=1, ge=1)
    gpus: int = Field(default=0, ge=0)
    gpu: str | None = None
    cpus: int | None = Field(default=None, ge=1)
    mem_gb: float | None = Field(default=None, gt=0)
    timeout_min: int = Field(default=600, ge=1)
    cpu_fallback: bool = False
    signal_s: int | None = Field(default=None, ge=MIN_SIGNAL_S)
    setup: Sequence[str] = ()
    parallel: int | None = Field(default=None, ge=1)

    @field_validator("gpu")
    @classmethod
    def _known_gpu(cls, gpu: str | None) -> str | None:
        if gpu is not None and gpu not in DEVICES:
            raise ValueError(f"no GPU {gpu!r}; known are {', '.join(DEVICES)}; leave it out for another kind")
        return gpu

    @model_validator(mode="after")
    def _time_to_save(self) -> Self:
        lead = self.signal_s or MIN_SIGNAL_S
        least = lead + EARLY_S + START_S
        if self.timeout_min * 60 < least:
            raise ValueError(
                f"timeout_min {self.timeout_min} leaves no time to work: signal_s is {lead}, Slurm may signal"
                f" {EARLY_S} s earlier, and a run takes up to {START_S} s to listen;"
                f" expected timeout_min {-(-least // 60)} or more{', or a smaller signal_s' if self.signal_s else ''}"
            )
        return self

    @property
    def gpus_in_all(self) -> int:
        """On all nodes."""
        return self.nodes * self.gpus

    @property
    def slurm_signal_s(self) -> int:
        """Seconds before the time limit at which Slurm signals, for sbatch's --signal."""
        return self.signal_s or min(FIRST_SIGNAL_S, self.timeout_min * 60 - EARLY_S - START_S)

    def lead_s(self, save_s: float | None, step_s: float) -> float:
        """Seconds before the time limit at which the run is told to save.

        Args:
            save_s: how long its last save took; None before the first.
            step_s: how long its longest step took.
        """
        if self.signal_s is not None:
            return self.signal_s
        return max(self.slurm_signal_s, SAVE_RESERVE * (save_s or 0.0) + step_s + MIN_SIGNAL_S)


class Resources(Needs):
    """Where the runs of a grid are carried out.

    Attributes:
        cluster: `auto` is Slurm where one answers, else this machine.
        jobs: on this machine: places for runs side by side, of which each takes as many as it has threads.
        max_gpu_hours: a launch that is expected to take more needs a yes, at the terminal or by --yes; None: a terminal
            asks about any, elsewhere the answer is yes.
        shared: says that the nodes see the folder of all runs, where it does not look like it.
        kinds: what some kinds of runs need instead: `evaluate: {gpus: 1, timeout_min: 120}`.
    """

    cluster: Literal["auto", "local", "slurm"] = "auto"
    jobs: int = Field(default=2, ge=1)
    max_gpu_hours: float | None = Field(default=None, ge=0)
    shared: bool = False
    kinds: Mapping[str, Mapping[str, Any]] = {}

    @model_validator(mode="after")
    def _known_kinds(self) -> Self:
        for kind in self.kinds:
            if kind not in KINDS:
                raise ValueError(f"kinds: no kind {kind!r}; there are {', '.join(KINDS)}")
            self.needs(kind)
        return self

    def needs(self, kind: str) -> Needs:
        """What a run of this kind needs."""
        general = {name: getattr(self, name) for name in Needs.model_fields}
        if kind not in TRAINED:
            general["nodes"] = 1
        needs = Needs.model_validate({**general, **self.kinds.get(kind, {})})
        if needs.nodes > 1 and kind not in TRAINED:
            raise ValueError(f"kinds: {kind} asks for {needs.nodes} nodes; only a training takes more than one")
        return needs
