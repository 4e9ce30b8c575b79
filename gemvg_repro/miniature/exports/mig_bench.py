"""How is the miniature world written in MIG-Bench's format? Ten tasks, one box a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from ...benchmarks.suites import mig_bench_file
from ...benchmarks.suites.mig_bench_file import MigRecord
from ...grounding.number_words import ORDINALS
from ..composers import COMPOSERS
from ..questions import WorldQuestion, shared
from ..world import Frame, close_up, frame, from_another_view, place


def write(folder: Path, seed: int, each: int) -> Path:
    """Writes the annotation file, `each` records of every task, and its images below `folder`; returns the file."""
    return mig_bench_file.export(records(seed, each), folder)


def records(seed: int, each: int) -> Iterator[MigRecord]:
    """`each` records of every task, in the order of the tasks."""
    for task, make in _MAKERS.items():
        rng = Random(f"mig_bench/{seed}/{task}")
        for _ in range(each):
            yield make(task, rng)


def _with_one_target(rng: Random, ask: Callable[[Random, int], WorldQuestion], pictures: int) -> WorldQuestion:
    """A question of this sort that happens to have exactly one target."""
    while True:
        question = ask(rng, pictures)
        if len(question.targets) == 1:
            return question


def _record(task: str, question: WorldQuestion, suffix: str = "") -> MigRecord:
    """The record of a question's first target; `suffix` follows the query."""
    picture, thing = question.targets[0]
    query = question.query.rstrip(".") + suffix.format(k=picture + 1) + "."
    box = question.frames[picture].things[thing].box
    additional_info = f"It is in the {ORDINALS[picture]} image." if task == "group_grounding" else ""
    return MigRecord(task, question.frames, query, box, additional_info, task != "group_grounding")


def _common_object(task: str, rng: Random) -> MigRecord:
    question = shared(rng, 3)
    picture = rng.randrange(3)
    targets = tuple(place for place in question.targets if place[0] == picture)
    return _record(task, WorldQuestion("semantic", question.frames, question.query, targets), ", in the {k}th image")


def _object_tracking(task: str, rng: Random) -> MigRecord:
    return _record(task, _with_one_target(rng, COMPOSERS["temporal"], 3), ", in the {k}th image")


def _multi_view(task: str, rng: Random) -> MigRecord:
    return _record(task, _with_one_target(rng, COMPOSERS["spatial"], 3), ", in the {k}th image")


def _of_kind(kind: str, pictures: int) -> Callable[[str, Random], MigRecord]:
    return lambda task, rng: _record(task, _with_one_target(rng, COMPOSERS[kind], pictures))


def _region(task: str, rng: Random) -> MigRecord:
    """Picture 1 is a scene, the other one a close view of one of its things."""
    looks = rng.sample([(c, k) for c in range(4) for k in range(4)], 3)
    scene = frame(rng, place(rng, looks))
    near = frame(rng, (close_up(rng, scene.things[0]),), scene.ground)
    query = "Picture 2 is a close view of an object. Find this object in Picture 1."
    return _record(task, WorldQuestion("spatial", (scene, near), query, ((0, 0),)))


def _difference(task: str, rng: Random) -> MigRecord:
    """The second picture shows one thing more; in view_diff it is also taken from elsewhere."""
    things = place(rng, rng.sample([(c, k) for c in range(4) for k in range(4)], 3), 30)
    before = frame(rng, things[1:])
    after = from_another_view(rng, things) if task == "view_diff" else things
    frames: tuple[Frame, ...] = (before, frame(rng, after, before.ground))
    return _record(task, WorldQuestion("semantic", frames, "Find the object that is only in Picture 2.", ((1, 0),)))


_MAKERS: dict[str, Callable[[str, Random], MigRecord]] = {
    "diff": _difference,
    "view_diff": _difference,
    "common_object": _common_object,
    "object_tracking": _object_tracking,
    "multi_view": _multi_view,
    "region": _region,
    "refer_grounding": _of_kind("spatial", 2),
    "group_grounding": _of_kind("referential", 3),
    "reasoning": _of_kind("reasoning", 2),
    "correspondence": _of_kind("semantic", 2),
}
