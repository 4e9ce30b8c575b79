"""What would have to be cut for a training to fit, once it did not.

python -m gemvg_repro.preflight.cuts PARAMETERS START PROCESSES BYTES: the parameters of train.ipynb as JSON, the folder
of the weights that it starts from, its processes, and the memory of the device of each.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files.validation import read_json
from ..study.parameters import TrainParameters
from ..study.profiles import Profile
from ..study.spec import resolve
from .estimates import RESERVE, cuts, memory_of

_LESS = 0.95
"""Where the estimate says that a step fits, and it did not, as much of the estimate is taken to be there."""


def advice(kind: str, profile: Profile, config: Mapping[str, Any], processes: int, total: float) -> str:
    """Each setting that makes it fit by itself, on devices of `total` bytes, of a training of this kind (a mode)."""
    estimate = memory_of(kind, profile, config, processes).total
    available = min(total, _LESS * estimate + RESERVE)
    mends = "; ".join(cuts(kind, profile, config, available, processes))
    return mends or "no single setting that is halved would fit: take a larger GPU"


def main() -> None:
    parameters, start, processes, total = sys.argv[1:]
    spec = resolve(TrainParameters.check(json.loads(parameters)))
    config = dict(read_json(Path(start) / "config.json"))
    sys.stdout.write(advice(spec.kind, spec.profile, config, int(processes), float(total)) + "\n")


if __name__ == "__main__":
    main()
