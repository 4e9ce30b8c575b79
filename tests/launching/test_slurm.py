"""What Slurm's commands print, read."""

from __future__ import annotations

import pytest

from gemvg_repro.launching.slurm import parse_minutes, plain_environment


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [
        *(("30:00", 30), ("1:00:00", 60), ("2-00:00:30", 2880.5), ("0:07", 7 / 60)),
        *(("infinite", None), ("UNLIMITED", None), ("INVALID", None), ("", None)),
    ],
)
def test_time_limits_as_slurm_writes_them(limit: str, minutes: float | None) -> None:
    assert parse_minutes(limit) == minutes


def test_what_slurm_reads_is_taken_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SBATCH_EXPORT", "SLURM_EXPORT_ENV", "SRUN_CPUS_PER_TASK", "SQUEUE_FORMAT", "SLURM_CONF", "CUDA_HOME"):
        monkeypatch.setenv(name, "x")
    kept = plain_environment()
    assert kept["SLURM_CONF"] == kept["CUDA_HOME"] == "x"
    assert not kept.keys() & {"SBATCH_EXPORT", "SLURM_EXPORT_ENV", "SRUN_CPUS_PER_TASK", "SQUEUE_FORMAT"}
