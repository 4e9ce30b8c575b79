"""Bad input is refused before any work: the message names the culprit and the mend, and no file has changed."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from gemvg_repro.benchmarks.score import main as score
from gemvg_repro.benchmarks.suites import mig_bench_file
from gemvg_repro.files.pictures import MAX_STORED_PIXELS
from gemvg_repro.files.validation import Refused
from gemvg_repro.models.checkpoints import hashes
from gemvg_repro.models.loading import load
from gemvg_repro.runs.directory import Run, run_id
from gemvg_repro.runs.json_files import RunError
from gemvg_repro.stages.data import make
from gemvg_repro.stages.evaluate import evaluate
from gemvg_repro.stages.train import train
from gemvg_repro.study.parameters import DataParameters, EvaluateParameters, ParameterError, TrainParameters
from gemvg_repro.study.spec import resolve

from .. import tiny_model, tiny_project
from ..benchmarks.suites.test_mig_bench_file import RECORDS
from ..corpora.made import Document, document, write
from ..sweeps.test_launch import launch


def snapshot(folder: Path) -> dict[str, str]:
    """Every file and folder below, with its content's hash and the time of its last change."""
    return {
        str(path.relative_to(folder)): f"{path.lstat().st_mtime_ns} "
        + (hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in sorted(folder.rglob("*"))
    }


@contextmanager
def refused(folder: Path, *words: str) -> Iterator[None]:
    """What is done within it is refused in these words, and leaves everything below the folder as it was."""
    before = snapshot(folder)
    with pytest.raises((Refused, RunError, ParameterError)) as caught:
        yield
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert str(caught.value).isprintable() or "\n" in str(caught.value)
    assert snapshot(folder) == before


# --- annotation files and their images, by every notebook that takes one

MEND = "mend or leave out what is named, and give the same command again"


def bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """A PNG of a few bytes that asks for gigabytes."""

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(b"")) + part(b"IEND", b"")


def _edit(key: str, n: int, field: str, value: Any) -> Callable[[Document, Path], None]:
    return lambda content, folder: content[key][n].__setitem__(field, value)


def _cut(content: Document, folder: Path) -> None:
    whole = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(whole[: len(whole) // 2])


def _cut_one_and_drop_another(content: Document, folder: Path) -> None:
    _cut(content, folder)
    (folder / "4.png").unlink()


def _only_without_area(content: Document, folder: Path) -> None:
    for annotation in content["annotations"]:
        annotation["bbox"] = [10, 10, 0, 5]


BAD_DATA: dict[str, tuple[Callable[[Document, Path], Any], tuple[str, ...]]] = {
    "NaN": (_edit("annotations", 3, "bbox", [float("nan"), 0, 5, 5]), ("annotations[3].bbox", "finite", MEND)),
    "inverted": (_edit("annotations", 3, "bbox", [50, 50, -10, 10]), ("annotations[3].bbox", "negative width", MEND)),
    "outside": (_edit("annotations", 3, "bbox", [150, 50, 60, 10]), ("annotations[3].bbox", "200x100 pixels", MEND)),
    "no area": (_only_without_area, ("no box to learn from", "expected `annotations`")),
    "no key": (
        lambda c, f: c["annotations"][3].pop("category_id"),
        ("annotations[3].category_id: annotation of an unknown category", "it is missing", MEND),
    ),
    "image missing": (lambda c, f: (f / "4.png").unlink(), ("images[2].file_name", "'4.png'", "no such file", MEND)),
    "image cut off": (_cut, ("images[1].file_name", "'2.png'", "truncated", MEND)),
    "image garbled": (lambda c, f: (f / "2.png").write_text("<svg/>"), ("images[1].file_name", "cannot be read", MEND)),
    "a bomb": (lambda c, f: (f / "2.png").write_bytes(bomb()), ("'2.png'", "900000000 pixels", "bomb", MEND)),
    "a large one": (
        lambda c, f: (f / "2.png").write_bytes(bomb(9_000, 9_000)),
        ("'2.png'", "has 9000x9000 pixels", f"at most {MAX_STORED_PIXELS}", MEND),
    ),
    "climbs": (
        _edit("images", 2, "file_name", "../4.png"),
        ("images[2].file_name", "stays in the images' folder", MEND),
    ),
    "two": (_cut_one_and_drop_another, ("2 faults", "'2.png'", "'4.png'")),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_data_that_is_not_in_order(tmp_path: Path, name: str) -> None:
    change, words = BAD_DATA[name]
    (tmp_path / "data").mkdir()
    content = document()
    file = write(tmp_path / "data")
    change(content, tmp_path / "data")
    file.write_text(json.dumps(content))
    given: dict[str, Any] = {"data": str(file), "runs": str(tmp_path / "runs")}
    with refused(tmp_path, str(file), *words):
        train(resolve(TrainParameters(**given)))
    with refused(tmp_path, *words):
        evaluate(resolve(EvaluateParameters(**given, samples=1)))
    with refused(tmp_path, *words):
        make(resolve(DataParameters(**given)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("is empty", "expected JSON")),
        (json.dumps(document()).encode()[:-40], ("is no JSON", "is the download complete?")),
        (b"[" * 100_000, ("nested too deeply",)),
        (b"{}", ("images: missing", "expected a COCO file", MEND)),
    ],
)
def test_files_that_are_no_annotations(tmp_path: Path, content: bytes, words: tuple[str, ...]) -> None:
    file = tmp_path / "boxes.json"
    file.write_bytes(content)
    with refused(tmp_path, str(file), *words):
        train(resolve(TrainParameters(data=str(file), runs=str(tmp_path / "runs"))))


def test_what_is_no_file_at_all(tmp_path: Path) -> None:
    for name in ("none.json", ".", "a\0b.json"):
        with refused(tmp_path, "expected a COCO-format .json file"):
            TrainParameters.check({"data": str(tmp_path / name)})
    with refused(tmp_path, "no data of its own", "-p data FILE.json"):
        train(resolve(TrainParameters(profile="paper", runs=str(tmp_path / "runs"))))


def test_the_launcher_reads_the_data_before_anything_waits_for_it(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path / "study")
    (tmp_path / "data").mkdir()
    file = write(tmp_path / "data")
    (tmp_path / "data" / "4.png").write_bytes(bomb())
    before = snapshot(tmp_path)
    for arguments in ([], ["--dry-run"]):
        status, _, error = launch(root, "--set", f"data={file}", *arguments)
        assert status == 2 and "images[2].file_name" in error and MEND in error and "Traceback" not in error
        assert snapshot(tmp_path) == before


def test_too_few_prompts_for_grpo_before_the_stages_that_come_first(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    given: dict[str, Any] = {"data": str(write(tmp_path / "data")), "runs": str(tmp_path / "runs")}
    for mode in ("hybrid", "sft_more"):
        with refused(tmp_path, "has 403 prompts", "400 steps of 16 take 6,400", "at most 25 steps"):
            train(resolve(TrainParameters(mode=mode, **given)))
    root = tiny_project.project(tmp_path / "study", "[sft, hybrid]")
    for modes, status in (("hybrid", 2), ("sft", 0)):
        assert launch(root, "-n", "--set", f"data={given['data']}", "--set", f"mode={modes}")[0] == status


def test_a_grid_of_several_settings_has_no_report(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path)
    grid = root / "sweeps" / "miniature.yaml"
    grid.write_text(grid.read_text().replace("{mode: [sft]}", "{mode: [sft], steps: [2, 3]}"))
    status, _, error = launch(root, "-n")
    assert status == 2 and "evaluate-sft-s0 with several settings" in error and "--only '!report'" in error
    assert launch(root, "-n", "--only", "!report")[0] == 0


# --- published benchmarks


def test_a_benchmark_with_a_picture_missing(tmp_path: Path) -> None:
    mig_bench_file.export(RECORDS, tmp_path)
    picture = sorted((tmp_path / "MIG-Bench").rglob("*.png"))[0]
    picture.write_bytes(picture.read_bytes()[:40])
    shutil.copytree(tiny_model.folder(), tmp_path / "weights")
    params = EvaluateParameters(
        checkpoint=str(tmp_path / "weights"), benchmarks={"mig_bench": str(tmp_path)},
        runs=str(tmp_path / "runs"),
    )  # fmt: skip
    spec = resolve(params)  # remembers the benchmark's hash
    with refused(tmp_path, "mig_bench/", ", picture", picture.name, MEND):
        evaluate(spec)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("MIG_data.json", None, ("MIG_data.json", "cannot be read")),
        ("MIG_data.json", b"", ("MIG_data.json", "is empty")),
        ("MIG_data.json", b'[{"task": "diff"}]', ("MIG_data.json", "[0]", MEND)),
        ("answers.jsonl", None, ("answers.jsonl", "cannot be read")),
        ("answers.jsonl", b'{"index": 0, "response": "x"}\n', ("answers.jsonl", "2 of 3 records have no response")),
        ("answers.jsonl", b'{"index": 0, "resp', ("answers.jsonl",)),
        ("answers.jsonl", b'{"index": 77, "response": "\\u001b[2J"}\n', ("answers.jsonl", "77")),
    ],
)
def test_scores_of_files_that_are_not_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, content: bytes | None, words: tuple[str, ...]
) -> None:
    annotations = mig_bench_file.export(RECORDS, tmp_path)
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(json.dumps({"index": n, "response": "(0,0),(9,9)"}) + "\n" for n in range(3)))
    changed = answers if file == answers.name else annotations
    changed.unlink() if content is None else changed.write_bytes(content)
    before = snapshot(tmp_path)
    files = ["--annotations", str(annotations), "--predictions", str(answers), "--store", str(tmp_path / "score.json")]
    assert score(["mig_bench", *files]) == 2
    out, error = capsys.readouterr()
    assert not out and all(word in error for word in words), error
    assert "\x1b" not in error and snapshot(tmp_path) == before


# --- checkpoints


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder of weights as `-p checkpoint FOLDER` takes it."""
    return Path(shutil.copytree(tiny_model.folder(), tmp_path / "my weights"))


def ask(folder: Path) -> Path:
    return evaluate(resolve(EvaluateParameters(checkpoint=str(folder), runs=str(folder.parent / "runs"), samples=1)))


def _truncate(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-100])


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        text = {k: v for k, v in changes.items() if k not in config}
        config |= {k: v for k, v in changes.items() if k not in text} | {
            "text_config": {**config["text_config"], **text}
        }
        (folder / "config.json").write_text(json.dumps(config))

    return change


def _shard_missing(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    places = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def _shard_climbs(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../model.safetensors"}}))


BAD_WEIGHTS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "cut off": (_truncate, ("model.safetensors: has", "by its header; is the copy complete?")),
    "half a header": (lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 20), ("longer than the file",)),
    "empty": (lambda f: (f / "model.safetensors").write_bytes(b""), ("is cut off", "is the copy complete?")),
    "pickled": (_pickled, ("model.safetensors: is missing", "only safetensors are read")),
    "no config": (lambda f: (f / "config.json").unlink(), ("config.json: is missing", "copy the whole checkpoint")),
    "config cut off": (lambda f: (f / "config.json").write_text('{"model'), ("config.json is no JSON",)),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), ("vocab.json with merges.txt: is missing",)),
    "of another family": (_config(model_type="llama"), ("model_type 'llama'", "expected 'qwen2_vl' (Qwen2-VL) or")),
    "wider": (_config(hidden_size=96), ("embed_tokens.weight: has shape", "another checkpoint's")),
    "deeper": (_config(num_hidden_layers=3), ("has 2 layers, but config.json asks for 3",)),
    "a shard missing": (_shard_missing, ("model-00002-of-00002.safetensors: is missing", "is the copy complete?")),
    "a shard that climbs": (_shard_climbs, ("'../model.safetensors', which leads out of the folder",)),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_a_folder_of_weights_that_is_not_whole_or_of_two_models(weights: Path, name: str) -> None:
    change, words = BAD_WEIGHTS[name]
    change(weights)
    with refused(weights.parent, "my weights", *words):
        ask(weights)


def test_a_base_of_another_family_is_refused_before_anything_is_made(weights: Path) -> None:
    _config(model_type="llava")(weights)
    overrides, runs = f"'base={weights}'", str(weights.parent / "runs")
    for parameters in (
        TrainParameters(mode="hybrid", overrides=overrides, runs=runs),
        EvaluateParameters(mode="base", overrides=overrides, runs=runs),
    ):
        with refused(weights.parent, "config.json has model_type 'llava'", "'qwen2_5_vl' (Qwen2.5-VL)", "`base` of a"):
            resolve(parameters)


def test_weights_that_lack_a_tensor_are_not_made_up(weights: Path) -> None:
    """transformers would draw it at random, and warn."""
    tensors = load_file(weights / "model.safetensors")
    name = next(key for key in tensors if key.endswith("0.mlp.up_proj.weight"))
    save_file({k: v for k, v in tensors.items() if k != name}, weights / "model.safetensors", {"format": "pt"})
    with refused(weights.parent, "missing weights", "up_proj", "Give the whole folder"):
        load(weights, "float32")
    save_file({**tensors, "more.weight": tensors[name].clone()}, weights / "model.safetensors", {"format": "pt"})
    with refused(weights.parent, "unexpected weights", "more.weight"):
        load(weights, "float32")


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """The directory of a finished training run."""
    with Run.open(tmp_path, "sft-s0", {"kind": "train", "results_version": 1}) as run:
        shutil.copytree(tiny_model.folder(), run.folder / "model")
        run.finish({"weights": hashes(run.folder / "model")})
    return run.folder


def _flip(folder: Path) -> None:
    content = bytearray((folder / "model" / "model.safetensors").read_bytes())
    content[-1000] ^= 1
    (folder / "model" / "model.safetensors").write_bytes(content)


def _other_parameters(folder: Path) -> None:
    (folder / "parameters.json").write_text(json.dumps({"kind": "train", "results_version": 0}))


BAD_RUNS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "a bit altered": (_flip, ("model.safetensors: has sha256", "it was altered", "it is made again")),
    "a file gone": (
        lambda f: (f / "model" / "generation_config.json").unlink(),
        ("generation_config.json: is missing",),
    ),
    "half written": (lambda f: (f / "result.json").unlink(), ("a run that is not finished", "it goes on")),
    "nothing trained": (lambda f: (f / "model").rename(f / "other"), ("has no model", "directory of a training")),
    "another version": (_other_parameters, ("(results_version 0)", "Move the folder away")),
    "no JSON": (
        lambda f: (f / "parameters.json").write_text("{"),
        ("parameters.json is no JSON", "Move the file away"),
    ),
}


@pytest.mark.parametrize("name", BAD_RUNS)
@pytest.mark.parametrize("inside", [".", "model"])
def test_a_run_s_weights_that_are_not_those_it_wrote(trained: Path, name: str, inside: str) -> None:
    change, words = BAD_RUNS[name]
    change(trained)
    if (trained / inside).is_dir():
        with refused(trained.parent, trained.name, *words):
            ask(trained / inside)


def test_a_run_directory_of_another_version(tmp_path: Path) -> None:
    """Finished or not, its name says another run than it holds."""
    new = {"kind": "train", "results_version": 2}
    with Run.open(tmp_path, "sft-s0", {**new, "results_version": 1}) as run:
        pass
    folder = run.folder.rename(tmp_path / f"sft-s0-{run_id(new)}")
    for finished in (False, True):
        if finished:
            (folder / "result.json").write_text(json.dumps({"id": run_id(new)}))
        with refused(tmp_path, str(folder), f"of run {run.id} (results_version 1)", "Move the folder away"):
            Run.open(tmp_path, "sft-s0", new)
