"""Which benchmarks are there?"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..files.validation import Refused, suggest
from .interface import Benchmark

NAMES = {
    "mig_bench": "mig_bench",
    "mc_bench": "mc_bench",
    "odinw13": "odinw13",
    "odinw13_all": "odinw13",
    "muirbench": "muirbench",
    "mmiu": "mmiu",
    "blink": "blink",
    "mibench": "mibench",
    "mantis_eval": "mantis_eval",
    "refcoco": "refcoco",
    "refcoco+": "refcoco",
    "refcocog": "refcoco",
}
"""Each benchmark and its module in suites, which lists its benchmarks in BENCHMARKS."""


def benchmark(name: str) -> Benchmark[Any, Any]:
    """The benchmark of this name; its module is imported only now. Raises Refused for a name not in NAMES."""
    if name not in NAMES:
        hint = suggest(name, NAMES)
        raise Refused(f"there is no benchmark {name!r}{hint}; there are {', '.join(NAMES)}")
    module = import_module(f".suites.{NAMES[name]}", __package__)
    suite: Benchmark[Any, Any] = next(each for each in module.BENCHMARKS if each.name == name)
    return suite
