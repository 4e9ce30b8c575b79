"""The way of a parameter through a small package, each rule of the definition once."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tools.parameter_path import FUNCTION, Step, path_of

FILES = {
    "__init__.py": "",
    "start.py": """
        from functools import partial

        from . import loading
        from .loading import load as load_again
        from .records import Plan, Unrelated
        from .work import Worker, count, finish

        def begin(params, other):
            plan = Plan.of(params)
            loading.load(params)
            load_again(other)
            count(params.seed + 1)
            count(params.seed)
            worker = Worker(other)
            worker.go(plan)
            for _ in range(2):
                partial(finish, other, params)
            finish(other, also=plan.sections["sft"])
            finish(other, {k: v for k, v in dict(params).items()})
            finish(other, Unrelated(other))
            choice = loading.load if params.quick else finish
            choice(params, other)
    """,
    "records.py": """
        from dataclasses import dataclass

        @dataclass
        class Plan:
            params: object
            sections: dict

            @classmethod
            def of(cls, params) -> "Plan":
                return cls(params, {})

            def describe(self):
                return describe(self.params)

        @dataclass
        class Unrelated:
            other: object

        def describe(params):
            return str(params)
    """,
    "loading.py": """
        def load(params):
            if params.quick:
                return _quick(params)
            return None

        def _quick(params):
            from .records import describe

            return describe(params)
    """,
    "work.py": """
        class Worker:
            def __init__(self, other):
                self.other = other

            def go(self, plan: "Plan[int] | None"):
                self._rest(plan)

            def _rest(self, plan: "Plan"):
                plan.describe()

        def count(number):
            return number

        def finish(other, also):
            return also

        from .records import Plan
    """,
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / "small" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(dedent(text), "utf-8")
    return tmp_path


START, RECORDS, LOADING, WORK = (f"small/{name}.py" for name in ("start", "records", "loading", "work"))


def test_the_way_is_the_calls_that_are_given_the_parameter_in_order(project: Path) -> None:
    assert path_of(project, "small.start:begin") == [
        Step(START, "begin", False),
        Step(RECORDS, "Plan.of", False),
        Step(LOADING, "load", False),  # `load_again(other)` is given something else
        Step(RECORDS, "describe", True),
        Step(WORK, "Worker.go", False),  # by the plan that is made of it; `Worker(other)` is not given it
        Step(RECORDS, "Plan.describe", True),
        Step(WORK, "finish", True),  # by `partial`, once for the loop
        Step(WORK, "finish", True),  # by the dict; `Unrelated(other)` is no record of it
        Step(LOADING, "load", True),  # `choice` is either, and so both
        Step(WORK, "finish", True),
    ]


def test_single_values_are_followed_where_they_are_asked_for(project: Path) -> None:
    records, values = (path_of(project, "small.start:begin", values=values) for values in (False, True))
    more = [step for step in values if step.file == WORK]
    assert [step.function for step in more] == ["count", "Worker.go", "finish", "finish", "finish", "finish"]
    assert len(values) == len(records) + 2  # `params.seed`, not `params.seed + 1`; and an item of the plan


def test_a_function_that_does_not_exist_is_refused(project: Path) -> None:
    for name in ("small.start:end", "small.missing:begin", "small.start"):
        with pytest.raises(ValueError, match="has no function"):
            path_of(project, name)


@pytest.mark.parametrize(("values", "returns"), [(False, 5), (True, 24)])
def test_the_parameters_of_train_return_to_few_files(values: bool, returns: int) -> None:
    """At fc20201 records came back 23 times, and with single values of them 46; 15 were asked for (docs/log)."""
    steps = path_of(Path(__file__).parents[2], FUNCTION, values)
    assert sum(step.is_return for step in steps) <= returns
