"""Would a study run here? Says so in a minute, without a network and without loading a model.

    python -m gemvg_repro.preflight --profile paper --data /data/mg_data/shards
    python -m gemvg_repro.preflight --profile paper --gpus 8 --memory 80      for GPUs that are elsewhere

exit status: 0 all checks passed; 1 one has failed, and says what to change.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..files.validation import printable
from ..study.resources import Needs
from .checks import MEMORY_KINDS, Question, findings
from .estimates import GiB
from .machine import Machine


def main() -> int:
    """Prints a line a check; returns the exit status."""
    options = _arguments()
    machine = Machine.find(options.runs, options.gpus, options.memory and options.memory * GiB)
    needs = Needs(mem_gb=options.host_memory, signal_s=options.signal_s, timeout_min=options.timeout_min)
    processes = options.gpus or max(1, machine.gpus)
    question = Question(options.profile, machine, processes, options.data, needs, options.kind or MEMORY_KINDS)
    failed = 0
    for finding in findings(question):
        failed += not finding.passed
        state = "ok    " if finding.passed else "FAILED"
        sys.stdout.write(f"{state} {finding.check}: {printable(finding.text)}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{failed} checks failed\n" if failed else "all checks passed\n")
    return int(failed > 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m gemvg_repro.preflight",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--profile", default="paper", help="the scale (default: %(default)s)")
    add("--gpus", type=int, metavar="N", help="GPUs of a training, of the node; else those that are found")
    add("--memory", type=float, metavar="GB", help="of each, as its maker names it: 80, 141; else as found")
    add("--kind", action="append", choices=MEMORY_KINDS, help="only the memory of this kind of run; repeatable")
    add("--data", type=Path, help="the folder of shards, or a file of annotations")
    add("--runs", type=Path, default=Path("runs"), metavar="DIR", help="the folder of all runs, whose disk is asked")
    add("--host-memory", type=float, metavar="GB", help="mem_gb of the job; else what is available here")
    add("--signal-s", type=int, metavar="S", help="signal_s of the job")
    add("--timeout-min", type=int, default=1440, metavar="MIN", help="timeout_min of the job (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
