"""Which folder of weights does a run start from or evaluate, and is it whole?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files.validation import Refused
from ..models.checkpoints import check
from ..runs.directory import verified_result
from ..runs.layout import MODEL, PARAMETERS
from ..study.hub import checkpoint_folder
from ..study.parameters import EvaluateParameters
from ..study.spec import RunSpec


def initial_weights(spec: RunSpec[Any]) -> Path:
    """The weights that a training starts from, or that an evaluation evaluates: of the training before, or the base.

    Raises:
        Refused: they are not whole, not those that were written, or cannot be had from the hub.
    """
    weights = checkpoint_folder(spec.profile.base_folder()) if spec.start is None else spec.start.folder / MODEL
    check(weights, (spec.start.result or {}).get("weights") if spec.start else None)
    return weights


def evaluated_weights(spec: RunSpec[EvaluateParameters]) -> Path:
    """The weights that an evaluation evaluates: the checkpoint that is given, or those of `initial_weights`.

    Raises:
        Refused: as `weights_of` and `initial_weights` do.
    """
    checkpoint = spec.parameters.checkpoint
    return weights_of(checkpoint_folder(checkpoint)) if checkpoint else initial_weights(spec)


def weights_of(folder: Path) -> Path:
    """The folder of weights that is meant by a run directory, by the weights within one, or by any other folder.

    Raises:
        Refused: the run is not finished, or the weights are not whole, or not those that it wrote.
    """
    run = folder.parent if folder.name == MODEL and (folder.parent / PARAMETERS).is_file() else folder
    if not (run / PARAMETERS).is_file():
        check(folder)
        return folder
    result = verified_result(run)
    if result is None:
        raise Refused(f"{run} is a run that is not finished; give the command again that began it: it goes on")
    if not (run / MODEL).is_dir():
        raise Refused(f"{run} has no {MODEL}: it trained none. Give the directory of a training")
    check(run / MODEL, result.get("weights"))
    return run / MODEL
