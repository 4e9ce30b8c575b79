"""Corrupted variants of every official file: refused with file and place, or read; never an error of a library."""

import copy
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gemvg_repro.benchmarks.registry import NAMES, benchmark
from gemvg_repro.benchmarks.suites import mig_bench_file
from gemvg_repro.files import pickles
from gemvg_repro.files.validation import Refused

from . import published
from .published import write_json, write_parquet, write_refcoco
from .suites import test_mc_bench, test_odinw13
from .suites.test_mig_bench_file import RECORDS

VARIANTS = 40

VALUES: dict[str, list[Any]] = {
    "type": [None, True, [], {}, [[]], [None], ["x"], [1, 2, 3], {"id": []}],
    "text": ["", "x", "../../../etc/passwd", "/etc/passwd", "a\0b", "\ud800", "<|im_end|>", "x" * 100_000],
    "number": [0, -1, 1.5, 10**30, 10**400, float("nan"), float("inf"), -float("inf"), 1e-320],
}
"""What a key is set to, by class of mutation."""

CLASSES = (*VALUES, "drop", "double", "whole")
"""A value of another type, a hostile text or number; a key dropped; a record doubled; all of it replaced."""


def mig(folder: Path) -> Any:
    return json.loads(mig_bench_file.export(RECORDS, folder).read_text())


def _as_json(name: str) -> Callable[[Path, Any], Path]:
    return lambda folder, content: write_json(folder / name, content)


def _paths(rows: list[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    """Records of a table whose pictures are paths, as in its JSON form."""
    stored = (dict(row) for row in rows)
    return [
        row
        | {c: [p["path"] for p in row[c]] if isinstance(row[c], list) else row[c] and row[c]["path"] for c in columns}
        for row in stored
    ]


FORMATS: dict[str, tuple[Callable[[Path], Any], Callable[[Path, Any], Path]]] = {
    "mig_bench": (mig, _as_json("MIG_data.json")),
    "mc_bench": (lambda folder: test_mc_bench.document(), _as_json("mc-bench_v0.2_val.json")),
    "odinw13": (lambda folder: test_odinw13.document(), _as_json("annotations_without_background.json")),
    "muirbench": (lambda folder: _paths(published.muirbench(), "image_list"), _as_json("test.json")),
    "mmiu": (lambda folder: published.mmiu(), _as_json("all.json")),
    "blink": (lambda folder: _paths(published.blink(), *(f"image_{k}" for k in range(1, 5))), _as_json("val.json")),
    "mibench": (lambda folder: published.mibench(), _as_json("multi_image_instruction.json")),
    "mantis_eval": (lambda folder: _paths(published.mantis_eval(), "images"), _as_json("test.json")),
    "refcoco": (lambda folder: published.refcoco()[0], lambda folder, content: write_refcoco(folder, content)),
}
FORMATS |= {"odinw13_all": FORMATS["odinw13"], "refcoco+": FORMATS["refcoco"], "refcocog": FORMATS["refcoco"]}
"""By benchmark: what is in a file of its official format, and how it is written."""


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a document with each of its keys or positions."""
    keys = list(content) if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    for key in keys:
        yield content, key
        yield from _places(content[key])


def _mutate(content: Any, kind: str, rng: Random) -> Any:
    """One fault of a class, somewhere in the document."""
    changed = copy.deepcopy(content)
    if kind == "whole":
        return rng.choice([value for values in VALUES.values() for value in values])
    lists = kind == "double"
    parent, key = rng.choice([place for place in _places(changed) if not lists or isinstance(place[0], list)])
    if kind == "drop":
        del parent[key]
    elif kind == "double":
        parent.append(copy.deepcopy(parent[key]))
    else:
        parent[key] = copy.deepcopy(rng.choice(VALUES[kind]))
    return changed


def _use(name: str, file: Path) -> None:
    """All that is done with annotations: loaded, asked, counted, and scored with empty answers."""
    suite = benchmark(name)
    data = suite.load(file)
    samples = suite.samples(data, "cot")
    for sample in samples[:4]:
        for picture in sample.pictures:
            with pytest.raises(Refused):  # there are no files, and no path leads out of the folder
                picture.pixels()
    suite.score(data, suite.parse(data, [""] * len(samples)))
    suite.counts(data)


def test_every_benchmark_is_corrupted() -> None:
    assert FORMATS.keys() == NAMES.keys()


@pytest.mark.parametrize("name", FORMATS)
def test_corrupted_annotations_are_refused_or_read(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is corrupt is the content: pickles are whole here, and read without a process of its own for each."""
    monkeypatch.setattr(pickles, "load", lambda file, encoding: pickles._read(io.BytesIO(file.read_bytes()), encoding))
    make, write = FORMATS[name]
    content = make(tmp_path / "made")
    refused = 0
    for kind in CLASSES:
        for seed in range(VARIANTS):
            file = write(tmp_path / f"{kind}{seed}", _mutate(content, kind, Random(f"{name}/{kind}/{seed}")))
            try:
                _use(name, file)
            except Refused as refusal:
                assert str(file.parent) in str(refusal), (kind, seed, str(refusal))
                refused += 1
    assert refused > VARIANTS  # the mutations do harm


@pytest.mark.parametrize("name", FORMATS)
def test_files_that_are_cut_or_garbled_are_refused(tmp_path: Path, name: str) -> None:
    make, write = FORMATS[name]
    file = write(tmp_path, make(tmp_path / "made"))
    whole, rng = file.read_bytes(), Random(name)
    for n in range(8):
        cut = whole[: rng.randrange(len(whole) - 1)]
        file.write_bytes(cut if n % 2 else cut + bytes(rng.randbytes(9)))
        with pytest.raises(Refused) as caught:
            benchmark(name).load(file)
        assert str(file.parent) in str(caught.value)
    file.unlink()
    with pytest.raises(Refused, match="cannot be read"):
        benchmark(name).load(file)


@pytest.mark.parametrize(
    ("name", "rows"),
    [("muirbench", published.muirbench()), ("blink", published.blink()), ("mantis_eval", published.mantis_eval())],
)
def test_garbled_parquet_is_refused_or_read(tmp_path: Path, name: str, rows: list[dict[str, Any]]) -> None:
    whole = write_parquet(tmp_path / "val.parquet", rows).read_bytes()
    rng, file = Random(name), tmp_path / "val.parquet"
    for n in range(VARIANTS):
        garbled = bytearray(whole)
        for _ in range(rng.choice([1, 3, 20])):
            garbled[rng.randrange(4, len(garbled))] = rng.randrange(256)
        file.write_bytes(garbled if n % 4 else whole[: rng.randrange(4, len(whole))])
        try:
            suite = benchmark(name)
            data = suite.load(file)
            for sample in suite.samples(data, "direct"):
                for picture in sample.pictures:
                    picture.pixels()
        except Refused as refusal:
            assert str(file) in str(refusal)


@pytest.mark.parametrize("name", ["mc_bench", "odinw13", "odinw13_all"])
def test_corrupted_result_lists_are_refused_or_read(tmp_path: Path, name: str) -> None:
    make, write = FORMATS[name]
    suite = benchmark(name)
    data = suite.load(write(tmp_path, make(tmp_path)))
    content = [{"image_id": n, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.5} for n in (1, 2)]
    for kind in CLASSES:
        for seed in range(VARIANTS):
            file = write_json(tmp_path / "said.json", _mutate(content, kind, Random(f"{name}/{kind}/{seed}")))
            try:
                suite.score(data, suite.read(file, data))
            except Refused as refusal:
                assert str(file) in str(refusal)
