"""The world in the five official formats: through the readers and composers to samples that are its own."""

import re
import shlex
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from gemvg_repro.corpora import making, recipe, shards
from gemvg_repro.corpora.building import _one, anchors, prove
from gemvg_repro.corpora.composition.checker import Untrue
from gemvg_repro.corpora.composition.composed import Bench, Unfit
from gemvg_repro.corpora.index import Index
from gemvg_repro.corpora.official import SOURCES
from gemvg_repro.corpora.pictures import FilePicture
from gemvg_repro.miniature import official_export
from gemvg_repro.miniature.tokenizer import build_tokenizer
from gemvg_repro.study import sources
from gemvg_repro.study.parameters import DataParameters

from ..corpora.composition.test_checker import LIES

RECIPE = recipe.load(Path(official_export.__file__).with_name("recipe.yaml"))


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return official_export.write(tmp_path_factory.mktemp("world"), 0, 240)


@pytest.fixture(scope="module")
def made(roots: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("made")
    return folder, making.make(folder, roots, RECIPE.scaled(0.01), {})


def test_readers_use_all_of_it(made: tuple[Path, dict[str, Any]]) -> None:
    for name, source in made[1]["sources"].items():
        assert source["frames"] >= 200 and source["skipped"] == {}, name
    assert all(cell["short"] == 0 for cell in made[1]["cells"].values())


def test_boxes_lie_on_what_is_painted(made: tuple[Path, dict[str, Any]], roots: dict[str, Path]) -> None:
    """A thing's paint differs from the ground: the mean colour within its box is further from grey than beside it."""
    for name, root in roots.items():
        index = Index(made[0] / "indexes" / f"{name}.sqlite")
        coloured = []
        for n in index.numbers().tolist()[:40]:
            shown = index.frame(n)
            pixels = FilePicture(SOURCES[name].pictures(root), shown.path).pixels().astype(float)
            spread = pixels.max(axis=2) - pixels.min(axis=2)
            inside = np.zeros(spread.shape, dtype=bool)
            for instance in shown.instances:
                if instance.box:
                    x1, y1, x2, y2 = (round(v * 64) for v in instance.box)
                    inside[y1:y2, x1:x2] = True
            if inside.any():
                coloured.append(spread[inside].mean() - spread[~inside].mean())
        assert np.mean(coloured) > 30, name


def test_samples_are_in_words_that_the_miniature_knows(made: tuple[Path, dict[str, Any]]) -> None:
    tokenizer = build_tokenizer()
    samples = list(shards.samples(made[0] / "shards", "sft"))
    assert {s.kind for s in samples} == {"referential", "semantic", "spatial", "temporal", "reasoning"}
    for sample in samples:
        for text in (sample.query, sample.chain or ""):
            pieces = tokenizer.tokenize(re.sub(r"^[a-z]", lambda m: " " + m[0], text))
            single = [p for p in pieces if len(p) == 1 and p.isalpha() and p != "a"]
            assert not single, (text, pieces)


def test_kinds_targets_and_pictures_are_mixed_as_in_the_world(made: tuple[Path, dict[str, Any]]) -> None:
    samples = [s for s in shards.samples(made[0] / "shards", "sft")]
    targets = Counter(min(len(s.targets), 2) for s in samples)
    assert targets[0] / len(samples) > 0.02 and targets[2] / len(samples) > 0.3
    assert {len(s.pictures) for s in samples} == {1, 2, 3} and max(len(s.targets) for s in samples) >= 3


def test_the_same_seed_gives_the_same_files(roots: dict[str, Path], tmp_path: Path) -> None:
    again = official_export.write(tmp_path, 0, 240)
    for name in ("coco", "star"):
        for file in sorted(f for f in roots[name].rglob("*") if f.is_file())[:50]:
            assert file.read_bytes() == (again[name] / file.relative_to(roots[name])).read_bytes()


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_in_the_miniature_s_words_is_found(made: tuple[Path, dict[str, Any]], lie: str) -> None:
    """The checker reads phrases without quotation marks, and references that are alone, as strictly as the others."""
    for cell in RECIPE.cells[:-1]:  # all cells of several pictures
        index = Index(made[0] / "indexes" / f"{cell.source}.sqlite")
        bench, phrases = Bench(index, RECIPE.rules_of(cell), RECIPE.wording), index.phrases()
        for anchor in anchors(index, cell, 3)[:20].tolist():
            try:
                sample = _one(cell, bench, phrases, anchor, Random(f"{anchor}"))
            except Unfit:
                continue
            prove(sample, index, RECIPE.wording)
            false = LIES[lie](sample)
            if false is not None and false != sample:
                with pytest.raises(Untrue):
                    prove(false, index, RECIPE.wording)


def test_the_command_says_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(official_export, "PICTURES", 40)
    assert official_export.main([str(tmp_path / "a world")]) == 0
    *_, roots = shlex.split(capsys.readouterr().out)
    asked = DataParameters(runs=str(tmp_path), roots=roots, share=0.0002)
    assert set(asked.sources) == {"coco", "d3", "egoexo4d", "mvtrack", "star"}
    assert sources.make(asked)["cells"]["referential-coco"]["made"] == 12
    assert official_export.main([]) == official_export.main(["--help"]) == 1
