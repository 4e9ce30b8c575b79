"""What a run may need of a machine, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gemvg_repro.study.resources import Resources


def test_kinds_may_need_something_else() -> None:
    resources = Resources(gpus=4, timeout_min=600, kinds={"evaluate": {"gpus": 1}, "report": {"gpus": 0}})
    assert [resources.needs(kind).gpus for kind in ("hybrid", "evaluate", "report")] == [4, 1, 0]
    assert resources.needs("evaluate").timeout_min == 600


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"timeout_min": 3, "signal_s": 120}, "expected timeout_min 4 or more, or a smaller signal_s"),
        ({"timeout_min": 2}, "expected timeout_min 3 or more"),
        ({"kinds": {"evaluate": {"timeout_min": 1}}}, "leaves no time to work"),
        ({"kinds": {"sftt": {}}}, "no kind 'sftt'; there are data, sft"),
        ({"kinds": {"sft": {"cpu": 1}}}, "Extra inputs"),
        ({"gpu": "V100"}, "no GPU 'V100'; known are A100, H100"),
        ({"cluster": "cloud"}, "'auto', 'local' or 'slurm'"),
    ],
)
def test_wrong_resources_are_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Resources.model_validate(wrong)
