import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gemvg_repro.corpora import user_coco
from gemvg_repro.files.pictures import CutOut, FilePicture
from gemvg_repro.files.validation import Refused
from gemvg_repro.grounding.answers import completion
from gemvg_repro.grounding.parsing import parse_answer
from gemvg_repro.grounding.samples import Picture, Sample, Target

from ..made import document, pixels, write

RACCOON = Path("../shared/data/odinw/Raccoon/Raccoon.v2-raw.coco/valid/annotations_without_background.json")
DOG = (0.25, 0.5, 0.5, 1.0)
DOGS = ((0.05, 0.2, 0.55, 0.7), (0.6, 0.0, 1.0, 1.0))


def test_detection_asks_for_every_category_that_is_clear(tmp_path: Path) -> None:
    samples = user_coco.detection(user_coco.load(write(tmp_path)))
    assert [sample.query for sample in samples] == [
        "Find every cat.",
        "Find every dog.",
        "Find every dog.",
        "Find every cat.",
    ]
    assert [sample.id for sample in samples][:2] == ["detection/1/cat", "detection/1/dog"]
    dogs = samples[1]
    assert dogs.targets == tuple(Target(0, box) for box in DOGS)
    assert (dogs.kind, dogs.scene, dogs.chain) == ("referential", "image/1", "dog: two in Picture 1.")


def test_semantic_association_is_true_of_the_annotation(tmp_path: Path) -> None:
    coco = user_coco.load(write(tmp_path))
    samples = user_coco.semantic(coco, seed=3, count=300)
    truth = {
        ("1.png", "dog"): DOGS,
        ("2.png", "dog"): (DOG,),
        ("4.png", "dog"): (),
        ("1.png", "cat"): ((0.0, 0.0, 0.1, 0.4),),
        ("4.png", "cat"): ((0.5, 0.1, 0.7, 0.9),),
    }
    for sample in samples:
        reference, *others = sample.pictures
        assert isinstance(reference, CutOut) and isinstance(reference.of, FilePicture)
        (category,) = [name for name in ("cat", "dog") if sample.chain and f"a {name}." in sample.chain]
        assert reference.box in truth[reference.of.path, category]
        paths = [other.path for other in others if isinstance(other, FilePicture)]
        assert len(set(paths)) == len(others) and reference.of.path not in paths
        expected = [Target(n, box) for n, path in enumerate(paths, 1) for box in truth[path, category]]
        assert sample.targets == tuple(expected)
        assert parse_answer(completion(sample, "cot"), len(sample.pictures)).problems == ()
    counts = {len(sample.targets) for sample in samples}
    assert counts == {0, 1, 2}
    assert {len(sample.pictures) for sample in samples} == {2, 3}
    assert sum(not sample.targets for sample in samples) < 100


def test_the_same_seed_gives_the_same_samples(tmp_path: Path) -> None:
    coco = user_coco.load(write(tmp_path))
    assert user_coco.semantic(coco, 1, 20) == user_coco.semantic(coco, 1, 30)[:20]
    assert user_coco.semantic(coco, 1, 20) != user_coco.semantic(coco, 2, 20)


def test_what_shares_a_scene_shares_its_pictures(tmp_path: Path) -> None:
    """Training asks the samples of a scene in one conversation; GRPO takes one sample of each scene."""
    coco = user_coco.load(write(tmp_path))
    associated = user_coco.semantic(coco, 0, 50)
    of_scene: dict[str, set[tuple[Picture, ...]]] = {}
    for sample in (*user_coco.detection(coco), *associated):
        of_scene.setdefault(sample.scene, set()).add(sample.pictures)
    assert all(len(pictures) == 1 for pictures in of_scene.values())
    assert len(of_scene) == len(coco.images) + len(associated)


def test_the_reference_is_cut_out(tmp_path: Path) -> None:
    sample = user_coco.semantic(user_coco.load(write(tmp_path)), 0, 1)[0]
    reference = sample.pictures[0]
    assert isinstance(reference, CutOut) and isinstance(reference.of, FilePicture)
    x1, y1, x2, y2 = (round(v * side) for v, side in zip(reference.box, (200, 100, 200, 100), strict=True))
    assert np.array_equal(reference.pixels(), pixels(int(reference.of.path[0]))[y1:y2, x1:x2])


def test_a_category_in_one_image_only_cannot_be_associated(tmp_path: Path) -> None:
    content = document()
    content["annotations"] = content["annotations"][:3]
    with pytest.raises(Refused, match="a category with boxes in two images"):
        user_coco.semantic(user_coco.load(write(tmp_path, content)), 0, 1)


@pytest.mark.parametrize("most_pixels", [None, 100_000])
def test_no_reference_is_a_sliver(tmp_path: Path, most_pixels: int | None) -> None:
    """Qwen2-VL's resizing fails on sides of more than 200 to 1, as they are cut out of the picture as it is decoded."""
    content = document()
    content["images"][0] |= {"width": 4000, "height": 100}
    boxes = [[0, 0, 4000, 14], [0, 40, 2800, 14], [0, 60, 4000, 19.9], [0, 80, 2801, 14], [5, 5, 20, 90]]
    content["annotations"] = [{"id": n, "image_id": 1, "category_id": 18, "bbox": box} for n, box in enumerate(boxes)]
    content["annotations"].append({"id": 9, "image_id": 2, "category_id": 18, "bbox": [0, 0, 10, 10]})
    file = write(tmp_path, content)
    Image.fromarray(pixels(1, 4000, 100)).save(tmp_path / "1.png")
    coco = user_coco.semantic(user_coco.load(file, most_pixels), 0, 100)
    shapes = {sample.pictures[0].pixels().shape for sample in coco}
    assert len(shapes) == 3 and all(max(shape) <= 200 * min(shape[:2]) for shape in shapes)
    content["annotations"] = [a for a in content["annotations"] if a["id"] in (0, 3, 9)]
    file.write_text(json.dumps(content))
    with pytest.raises(Refused, match="sides of at most 200 to 1"):
        user_coco.semantic(user_coco.load(file, most_pixels), 0, 1)


@pytest.mark.skipif(not RACCOON.exists(), reason=f"{RACCOON} is not there")
def test_forty_real_photographs_of_one_category() -> None:
    coco = user_coco.load(RACCOON)
    alone, associated = user_coco.detection(coco), user_coco.semantic(coco, 0, 100)
    assert (len(alone), sum(len(sample.targets) for sample in alone)) == (40, 44)
    assert all(sample.targets for sample in associated)

    def drawable(sample: Sample) -> bool:
        return all(picture.pixels().shape[2] == 3 for picture in sample.pictures)

    assert all(map(drawable, (*alone, *associated[:10])))
