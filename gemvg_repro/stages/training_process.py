"""One of several processes of a training, as torch.distributed.run starts them.

python -m gemvg_repro.stages.training_process PARAMETERS START: the parameters of the notebook as JSON, and the folder
of the weights to start from. What its standard output receives is for the run's owner (`launching.processes`).
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.distributed.elastic.multiprocessing.errors import record

from ..launching.notebook import die_with_parent
from ..runs.directory import Interrupted
from ..runs.layout import JobFiles
from ..study.parameters import TrainParameters
from ..study.spec import resolve
from ..training import processes
from ..training.checkpointing import SealedCheckpoint
from .train import train_model

NOTICED_S = 2.0
"""The launcher needs less to notice that a process has ended. Errors of the others, which lose the connection to it,
come later: the first is the training's."""


class Reporter:
    """An observer of a training that reports to the run's owner, from the first process.

    Args:
        output: a file descriptor.
        stop: the file that exists when the training is to stop.
    """

    def __init__(self, output: int, stop: Path) -> None:
        self._output = output
        self._stop = stop

    def report(self, event: str, value: Any) -> None:
        """Writes one line."""
        if processes.rank() == 0:
            os.write(self._output, json.dumps({"event": event, "value": value}).encode() + b"\n")

    def begin(self, resumed: SealedCheckpoint) -> None:
        self.report("begin", asdict(resumed))

    def step(self, entry: dict[str, Any]) -> None:
        self.report("step", entry)

    def sealed(self, checkpoint: SealedCheckpoint) -> None:
        self.report("sealed", asdict(checkpoint))

    def stop_requested(self) -> bool:
        return self._stop.exists()


@record
def main() -> None:
    output = os.dup(1)
    os.dup2(2, 1)  # what libraries print is for the log
    die_with_parent()
    processes.join()
    try:
        spec = resolve(TrainParameters.check(json.loads(sys.argv[1])))
        torch.set_num_threads(spec.threads)
        reporter = Reporter(output, JobFiles(spec.folder).stop)
        with suppress(Interrupted):
            reporter.report("done", train_model(spec, Path(sys.argv[2]), reporter))
    except RuntimeError as error:
        if any(word in str(error) for word in ("gloo", "NCCL")):
            time.sleep(NOTICED_S)
        raise
    processes.leave()


if __name__ == "__main__":
    main()
