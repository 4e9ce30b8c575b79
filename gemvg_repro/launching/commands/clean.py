"""The command `--clean`: removes checkpoints and weights of finished runs that nothing needs any more."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from ...study.plan import Job, named
from ..launches import LaunchRecords
from ..weights import find_leftovers
from .terminal import confirm


def clean(jobs: Sequence[Job], only: Sequence[str], records: LaunchRecords, dry_run: bool, yes: bool) -> int:
    """Removes leftovers of the named runs, or with `dry_run` only counts their bytes; returns the exit status.

    Checkpoints go once their run is finished; weights once all runs that start from them, or evaluate them, are, in
    this plan and in all that was launched. Scores, logs and results stay.
    """
    leftovers = list(find_leftovers(named(jobs, only), [*jobs, *records.all_jobs()]))
    for leftover in leftovers:
        print(f"{leftover.bytes:>18,} bytes  {leftover.folder}")
    total = f"{sum(leftover.bytes for leftover in leftovers):,} bytes in {len(leftovers)} folders"
    if dry_run or not leftovers:
        print(f"{total} would be removed")
        return 0
    if not confirm(f"This removes {total}, and what needs them later is trained anew.", yes):
        return 130
    for leftover in leftovers:
        shutil.rmtree(leftover.folder)
    print(f"{total} were removed")
    return 0
