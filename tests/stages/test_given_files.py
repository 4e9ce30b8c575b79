"""A COCO-format file as data: where its images are taken from, and what is said before a run begins."""

import json
from pathlib import Path

import pytest

from gemvg_repro.files.validation import Refused
from gemvg_repro.runs.directory import result_of
from gemvg_repro.stages.data import make
from gemvg_repro.stages.samples import load
from gemvg_repro.stages.train import train
from gemvg_repro.study.parameters import DataParameters, ParameterError, TrainParameters
from gemvg_repro.study.spec import resolve

from ..corpora.made import document, write


def standard_layout(folder: Path) -> Path:
    """annotations/instances_val2017.json beside val2017/, as COCO is unpacked."""
    (folder / "val2017").mkdir(parents=True)
    (folder / "annotations").mkdir()
    return write(folder / "val2017").rename(folder / "annotations" / "instances_val2017.json")


def test_coco_s_own_layout_is_trained_on_and_the_folder_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = standard_layout(tmp_path / "coco")
    spec = resolve(DataParameters(data=str(file), runs=str(tmp_path / "runs")))
    note = f"images are read from {tmp_path / 'coco' / 'val2017'}"
    assert make(spec)["notes"] == [note]
    assert f"{file}: {note}" in capsys.readouterr().out
    assert {sample.pictures[0].pixels().shape for sample in load(spec, "test")} == {(100, 200, 3)}


def test_a_folder_of_images_goes_from_a_training_to_its_data(tmp_path: Path) -> None:
    (tmp_path / "apart").mkdir()
    write(tmp_path / "apart")
    file = (tmp_path / "apart" / "annotations.json").rename(tmp_path / "boxes.json")
    params = TrainParameters(data=str(file), images=str(tmp_path / "apart"), mode="hybrid", runs=str(tmp_path / "runs"))
    data = [need for need in resolve(params).chain if need.kind == "data"]
    assert [need.parameters.images for need in data] == [str(tmp_path / "apart")]
    assert make(data[0])["counts"] == {"images": 3}
    assert result_of(data[0].folder)


def test_a_folder_of_images_belongs_to_a_file(tmp_path: Path) -> None:
    for values in ({"images": str(tmp_path)}, {"images": str(tmp_path / "none"), "data": str(write(tmp_path))}):
        with pytest.raises(ParameterError, match="images"):
            TrainParameters.check(values)


@pytest.mark.parametrize("side", [13, 14])
def test_a_file_that_cannot_be_trained_on_is_told_before_its_data_run(tmp_path: Path, side: int) -> None:
    content = document()
    for annotation in content["annotations"]:
        annotation["bbox"][2:] = [side, side]
    file, runs = write(tmp_path, content), str(tmp_path / "runs")
    spec = resolve(DataParameters(data=str(file), runs=runs))
    if side == 14:
        assert make(spec)["counts"] == {"images": 3}
        return
    with pytest.raises(Refused, match="at least 14 pixels a side"):
        make(spec)
    with pytest.raises(Refused, match="at least 14 pixels a side"):
        train(resolve(TrainParameters(data=str(file), runs=runs)))
    assert not (tmp_path / "runs").exists()


def test_one_image_cannot_be_trained_on(tmp_path: Path) -> None:
    content = document()
    content["images"], content["annotations"] = content["images"][:1], content["annotations"][:3]
    file = write(tmp_path, content)
    with pytest.raises(Refused, match="a category with boxes in two images"):
        make(resolve(DataParameters(data=str(file), runs=str(tmp_path / "runs"))))
    assert not (tmp_path / "runs").exists() and json.loads(file.read_text()) == content
