"""The notebooks, really executed: official files to a training set with its statistics, and a model trained on it."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gemvg_repro.corpora import builder, manifest, recipe, shards
from gemvg_repro.corpora.index import Index, split_of
from gemvg_repro.miniature.exports.sources import PICTURES, write
from gemvg_repro.stages import data, samples
from gemvg_repro.study.parameters import DataParameters, ParameterError, TrainParameters
from gemvg_repro.study.spec import resolve
from tools.faults import Study

from ..corpora import made_sources
from ..test_notebooks import papermill, papermill_in


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small official files with small pictures of four sources, in a folder whose name has a blank."""
    root = tmp_path_factory.mktemp("official files")
    roots = {name: root / name for name in ("coco", "d3", "egoexo4d", "conversations")}
    made_sources.coco(roots["coco"], 150, categories=8)
    made_sources.d3(roots["d3"], 4, 12)
    made_sources.egoexo(roots["egoexo4d"], 1, 5)
    made_sources.conversations(roots["conversations"], 30)
    made_sources.paint(roots)
    return roots


@pytest.fixture(scope="module")
def composed(downloads: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs after the data notebook, whose output is in it as data.ipynb."""
    runs = tmp_path_factory.mktemp("runs")
    given = " ".join(f"'{name}={root}'" for name, root in downloads.items())
    benchmark = runs / "benchmark.json"
    benchmark.write_text(json.dumps({"images": [{"file_name": "COCO_train2014_000000000009.jpg"}]}))
    done = papermill(
        "data.ipynb", runs / "data.ipynb",
        runs=runs, profile="paper", roots=given, share=0.0006, exclude=f"refcoco={benchmark}", drawn=1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return runs


def shards_of(runs: Path) -> Path:
    (folder,) = runs.glob("mg_data-*/mg_data/shards")
    return folder


def test_official_files_become_a_training_set(composed: Path) -> None:
    content = manifest.manifest(shards_of(composed))
    made = {name: cell["made"] for name, cell in content["cells"].items()}
    assert made["referential-coco"] == 36 and made["understanding"] == 30 and made["temporal-star"] == 0
    assert content["sources"]["coco"]["skipped"]["in refcoco, by name"] == 1
    stages = content["cells"]["understanding"]["stages"]
    assert stages == {"sft": 30, "cot_sft": 0, "grpo": 0}
    (result,) = composed.glob("mg_data-*/result.json")
    assert json.loads(result.read_text())["counts"]["samples"] == content["rows"]


def test_the_notebook_tells_what_is_in_it(composed: Path) -> None:
    cells = json.loads((composed / "data.ipynb").read_text())["cells"]
    text = json.dumps([output for cell in cells for output in cell.get("outputs", [])])
    for phrase in (
        "paper: referential",
        "the source is not there",
        "in refcoco, by name",
        "chain_words",
        "understanding",
    ):
        assert phrase in text
    assert text.count("image/png") == 2  # measures, and examples


def test_training_reads_each_stage_s_samples(composed: Path) -> None:
    folder = shards_of(composed)
    rows = manifest.manifest(folder)["rows"]
    by_mode = {
        mode: samples.load(resolve(TrainParameters(mode=mode, data=str(folder), runs=str(composed))), "train")
        for mode in ("sft", "cot_sft", "sft_more", "hybrid")
    }
    grounding = {mode: [s for s in of_mode if s.text is None] for mode, of_mode in by_mode.items()}
    talk = [s for s in by_mode["sft"] if s.text is not None]
    assert talk[0].text in ("A", "B") and len(talk) > 40
    assert talk[0].scene == talk[1].scene and talk[0].pictures == talk[1].pictures  # asked as one conversation
    assert len(by_mode["hybrid"]) < len(by_mode["cot_sft"]) < len(grounding["sft"]) < rows
    assert by_mode["sft_more"] == by_mode["cot_sft"]
    assert not {s.id for s in by_mode["cot_sft"]} & {s.id for s in by_mode["hybrid"]}
    assert len({s.scene for s in grounding["sft"]}) == len(grounding["sft"])
    spec = resolve(TrainParameters(data=str(folder), runs=str(composed)))
    held = {split: samples.load(spec, split) for split in ("validation", "test")}
    scenes = {s.scene for of_split in held.values() for s in of_split}
    trained = {s.scene for s in shards.samples(folder, "sft", "train")}
    assert not scenes & trained and all(s.text is None for of_split in held.values() for s in of_split)


def test_no_picture_is_trained_on_that_is_held_out(indexes: dict[str, Index], tmp_path: Path) -> None:
    frames_by_split: dict[str, set[str]] = {}
    builder.build(recipe.load().scaled(0.004), {name: i.file for name, i in indexes.items()}, tmp_path / "data")
    for file in sorted((tmp_path / "data").glob("*.parquet")):
        for row in pq.read_table(file).to_pylist():
            split = split_of(row["source"], row["scene"].partition("/")[2])
            frames = {f"{row['source']}/{picture['frame']}" for picture in row["pictures"]}
            frames_by_split.setdefault(split, set()).update(frames)
    assert set(frames_by_split) == {"train", "validation", "test"}
    assert (
        not frames_by_split["train"] & (frames_by_split["validation"] | frames_by_split["test"])
        and not frames_by_split["validation"] & frames_by_split["test"]
    )


@pytest.mark.slow
def test_the_miniature_trains_on_it(composed: Path) -> None:
    done = papermill("train.ipynb", composed / "out.ipynb", runs=composed, steps=2, data=shards_of(composed))
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = composed.glob("sft-s0-*")
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [1, 2] and all(0 < entry["loss"] < 20 for entry in log)


@pytest.mark.slow
def test_every_stage_trains_and_is_scored_on_the_world_s_official_files(tmp_path: Path) -> None:
    roots = write(tmp_path / "world", 0, dict.fromkeys(PICTURES, 400))
    params = DataParameters(runs=str(tmp_path), roots={k: str(v) for k, v in roots.items()}, share=0.03, embed=True)
    shards_folder = data.make(resolve(params))["shards"]
    copy = Study.lay_out(tmp_path / "checkout").root
    given = {"runs": tmp_path, "profile": "small", "steps": 1, "data": shards_folder, "mode": "direct"}
    done = papermill_in(copy, "evaluate.ipynb", tmp_path / "out.ipynb", samples=3, **given)
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(tmp_path.glob("direct-s0-*/result.json")) and list(tmp_path.glob("evaluate-direct-s0-*/result.json"))


def test_an_interrupted_composition_goes_on(downloads: dict[str, Path], tmp_path: Path) -> None:
    roots = {"d3": str(downloads["d3"])}
    params = DataParameters(profile="paper", runs=str(tmp_path), roots=roots, share=0.001)
    result = data.make(resolve(params))
    folder = resolve(params).folder
    (folder / "result.json").unlink()
    assert data.make(resolve(params))["content"] == result["content"]
    assert samples.load(resolve(params), "train")


def test_the_identity_follows_what_the_files_say(downloads: dict[str, Path], tmp_path: Path) -> None:
    params = DataParameters(roots={"coco": str(downloads["coco"])})
    copy = tmp_path / "coco" / "annotations"
    copy.mkdir(parents=True)
    file = copy / "instances_train2017.json"
    file.write_text((downloads["coco"] / "annotations" / file.name).read_text() + " ")
    others = [
        DataParameters(roots={"coco": str(tmp_path / "coco")}),
        params.model_copy(update={"share": 0.5}),
        params.model_copy(update={"embed": True}),
        DataParameters(roots={"coco": str(downloads["coco"]), "d3": str(downloads["d3"])}),
    ]
    assert len({resolve(other).identity.id for other in (params, *others)}) == 5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"roots": "coco"}, "is no NAME=PATH; expected such as 'coco=/data/coco d3=/data/d3'"),
        ({"roots": "coco=/a coco=/b"}, "coco is given twice"),
        ({"roots": {"coco": 1}}, "valid string"),
        ({"roots": "coco=/a", "data": "x.json"}, "is no file and no folder of shards"),
        ({"share": 0.5}, "no roots are given"),
        ({"roots": "coco=/a", "share": 2.0}, "less than or equal to 1"),
        ({"data": "/nowhere"}, "a folder with a manifest.json"),
    ],
)
def test_wrong_parameters_are_refused_with_the_mend(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message.replace("(", r"\(")):
        DataParameters.check(given)


def test_a_mapping_and_a_text_are_the_same() -> None:
    mapped = DataParameters(roots={"coco": "/a b", "d3": "/c"})
    assert DataParameters(roots="'coco=/a b' d3=/c") == mapped
    assert mapped.sources == {"coco": Path("/a b"), "d3": Path("/c")}
    excluded = DataParameters(**{**dict(mapped), "exclude": "x=/f.json,/pictures y=/g.json"})
    assert excluded.benchmarks == {"x": (Path("/f.json"), Path("/pictures")), "y": (Path("/g.json"), None)}


@pytest.mark.parametrize("given", ["coco=/nowhere", "nuscenes=/nowhere"])
def test_wrong_roots_are_refused_before_any_work(given: str, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"annotations/instances_train2017\.json|no cell of the recipe is from nuscenes"
    ):
        data.make(resolve(DataParameters(runs=str(tmp_path), roots=given)))
    assert not list(tmp_path.rglob("*.sqlite"))
