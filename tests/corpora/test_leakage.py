import json
import pickle
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from gemvg_repro.corpora import image_hashes, leakage, mg_data, recipe
from gemvg_repro.corpora.index_builder import exclude
from gemvg_repro.corpora.manifest import manifest
from gemvg_repro.corpora.sources import index_source
from gemvg_repro.files.validation import Refused

from . import made_sources


def photograph(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Soft patches, such as photographs are made of."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def write(file: Path, content: Any) -> Path:
    file.write_text(json.dumps(content))
    return file


def test_the_paths_of_each_benchmark_s_form(tmp_path: Path) -> None:
    mig = write(
        tmp_path / "mig.json", [{"images": ["./MIG-Bench/images/1.jpg", "./x/a_long_name.jpg"], "task": "diff"}]
    )
    mc = write(tmp_path / "mc.json", {"images": [{"id": 0, "file_name": "D3/a.jpg"}], "annotations": []})
    refs = tmp_path / "refs(unc).p"
    name = "COCO_train2014_000000000009_11.jpg"
    refs.write_bytes(pickle.dumps([{"file_name": name, "split": "val"}, {"file_name": "other.jpg", "split": "train"}]))
    assert leakage.benchmark_paths(mig) == ["./MIG-Bench/images/1.jpg", "./x/a_long_name.jpg"]
    assert leakage.benchmark_paths(mc) == ["D3/a.jpg"]
    assert leakage.benchmark_paths(refs) == [name]
    with pytest.raises(Refused, match="names no images"):
        leakage.benchmark_paths(write(tmp_path / "x.json", {"images": [1]}))


def test_marks_are_ids_and_names_that_say_something() -> None:
    assert leakage.identifiers("val2014/COCO_train2014_000000000009_11.jpg") >= {"coco:9"}
    assert leakage.identifiers("train2017/000000000009.jpg") >= {"coco:9"}
    assert leakage.identifiers("img/00001.jpg") == leakage.identifiers("1.jpg") == set()
    assert leakage.identifiers("a\\b\\Long_Name.JPG") == {"name:long_name"}
    of_url = leakage.identifiers("http://farm4.staticflickr.com/3153/2970773875_164f0c0b83_z.jpg")
    assert of_url == {"flickr:2970773875", "name:2970773875_164f0c0b83_z"}
    assert leakage.identifiers("images/2970773875_b.jpg") == {"name:2970773875_b"}


def test_copies_are_found_scaled_and_compressed_and_others_are_not() -> None:
    def of(image: Image.Image) -> int | None:
        return image_hashes.picture_hash(lambda: np.asarray(image.convert("RGB")))

    originals = [of(photograph(n)) for n in range(60)]
    scaled = [of(photograph(n).resize((160, 120), Image.Resampling.BOX)) for n in range(60)]
    bits = np.bitwise_count(np.array(originals, np.uint64)[:, None] ^ np.array(scaled, np.uint64)[None, :])
    assert (bits.diagonal() <= image_hashes.MAX_DIFFERENT_BITS).all()
    assert (bits[~np.eye(60, dtype=bool)] > image_hashes.MAX_DIFFERENT_BITS).all()
    assert of(Image.new("RGB", (50, 50), (90, 90, 90))) is None


def test_frames_of_a_benchmark_leave_the_index(tmp_path: Path) -> None:
    root = tmp_path / "coco"
    made_sources.coco(root, 8)
    images = root / "train2017"
    images.mkdir()
    for n in range(8):
        size = json.loads((root / "annotations" / "instances_train2017.json").read_text())["images"][n]
        photograph(n, (size["width"], size["height"])).save(images / f"{n + 9:012d}.jpg")
    benchmark = tmp_path / "bench"
    benchmark.mkdir()
    photograph(3, (200, 150)).save(benchmark / "1.jpg", quality=70)
    photograph(99, (200, 150)).save(benchmark / "2.jpg")
    files = {
        "MIG-Bench": (write(tmp_path / "mig.json", [{"images": ["1.jpg", "2.jpg"]}]), benchmark),
        "RefCOCO": (write(tmp_path / "i.json", {"images": [{"file_name": "COCO_train2014_000000000009.jpg"}]}), None),
    }
    compared = leakage.read_benchmarks(files)
    index, gone = leakage.remove(index_source("coco", root, tmp_path / "coco.sqlite"), images, compared)
    assert gone == {"in MIG-Bench, by name": 0, "in RefCOCO, by name": 1, "in MIG-Bench, by picture": 1}
    left = {index.frame(n).id for n in index.numbers().tolist()}
    assert left == {str(n) for n in range(9, 17)} - {"9", "12"}
    assert index.skips().counts["in MIG-Bench, by picture"] == 1
    assert {int(n) for n in index.occurrences()[:, 1]} <= set(index.numbers().tolist())


def test_a_picture_is_found_by_its_flickr_url_whatever_it_is_called(tmp_path: Path) -> None:
    made_sources.d3(tmp_path / "d3", 1, 4)
    url = "http://farm4.staticflickr.com/3153/1000002_164f0c0b83_z.jpg"
    images = [{"file_name": "1.jpg", "flickr_url": url}, {"file_name": "2.jpg", "flickr_url": ""}]
    benchmark = {"MC-Bench": (write(tmp_path / "mc.json", {"images": images}), None)}
    index = index_source("d3", tmp_path / "d3", tmp_path / "d3.sqlite", check_files=False)
    (known,) = [f for n in index.numbers().tolist() if "flickr:1000002" in (f := index.frame(n)).aliases]
    left, gone = leakage.remove(index, None, leakage.read_benchmarks(benchmark))
    assert gone == {"in MC-Bench, by name": 1} and left.by_id(known.id) is None
    with pytest.raises(Refused, match="names no images"):
        leakage.benchmark_paths(write(tmp_path / "x.json", {"images": [{"flickr_url": url}]}))


def test_of_a_video_the_whole_scene_goes(tmp_path: Path) -> None:
    made_sources.star(tmp_path / "star", 3)
    index = index_source("star", tmp_path / "star", tmp_path / "star.sqlite")
    frame = index.frame(int(index.numbers()[0]))
    count = len(index.in_scene(frame.scene))
    assert exclude(index.file, [frame.id], "in a test") == count > 1


def test_a_frame_of_a_video_is_found_by_its_picture(tmp_path: Path) -> None:
    """Two takes whose cameras are mp4 files; one frame of the first is in a benchmark, so that the whole take goes."""
    root = tmp_path / "egoexo4d"
    made_sources.egoexo(root, 2, 2, objects=1)
    for take in range(2):
        for camera, name in enumerate(("aria01_214-1", "cam01", "cam02", "cam04")):
            file = root / "takes" / f"demo_{take:04d}" / "frame_aligned_videos" / f"{name}.mp4"
            file.parent.mkdir(parents=True, exist_ok=True)
            with av.open(str(file), "w") as container:
                stream = container.add_stream("libx264", rate=30, options={"crf": "12", "g": "24"})
                stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
                for n in range(31):
                    image = photograph(100 * take + 10 * camera + n // 30, (160, 120))
                    container.mux(stream.encode(av.VideoFrame.from_image(image)))
                container.mux(stream.encode(None))
    photograph(10 * 1 + 1, (320, 240)).save(tmp_path / "1.jpg")  # frame 30 of cam01 of the first take
    benchmark = {"MIG-Bench": (write(tmp_path / "mig.json", [{"images": ["1.jpg"]}]), tmp_path)}
    seen: list[tuple[int, int]] = []
    before = index_source("egoexo4d", root, tmp_path / "index.sqlite")
    of_take = len(before.in_scene("take-0000"))
    after, gone = leakage.remove(
        before, root, leakage.read_benchmarks(benchmark), progress=lambda done, of: seen.append((done, of))
    )
    assert gone["in MIG-Bench, by picture"] == of_take > 1
    assert not after.in_scene("take-0000") and after.in_scene("take-0001")
    assert seen[-1][0] == seen[-1][1]


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    """COCO's ten images as photographs, and a MIG-Bench with a smaller copy of the fourth and another picture."""
    file = made_sources.coco(tmp_path / "coco", 10, categories=2)
    (tmp_path / "coco" / "train2017").mkdir()
    for n, image in enumerate(json.loads(file.read_text())["images"]):
        size = image["width"], image["height"]
        photograph(n, size).save(tmp_path / "coco" / "train2017" / image["file_name"])
    folder = tmp_path / "MIG-Bench" / "images" / "common"
    folder.mkdir(parents=True)
    photograph(3, (200, 150)).save(folder / "1.jpg")
    photograph(99, (200, 150)).save(folder / "2.jpg")
    paths = [f"./MIG-Bench/images/common/{n}.jpg" for n in (1, 2)]
    write(tmp_path / "MIG-Bench" / "MIG_data.json", [{"images": paths, "task": "common_object"}])
    return tmp_path


def composed(roots: Path, benchmark: tuple[Path, Path | None], out: str = "out") -> dict[str, Any]:
    """The manifest of COCO composed without what is in the benchmark."""
    mixture = recipe.load().scaled(0.0001)
    return mg_data.make(roots / out, {"coco": roots / "coco"}, mixture, {"mig_bench": benchmark})


@pytest.mark.parametrize("folder", [".", "MIG-Bench", "MIG-Bench/images", "MIG-Bench/images/common"])
def test_the_folder_is_where_paths_start_or_one_that_they_lead_through(roots: Path, folder: str) -> None:
    """The README's own exclusion gives MIG-Bench/images, in which "./MIG-Bench/images/common/1.jpg" does not start."""
    source = composed(roots, (roots / "MIG-Bench" / "MIG_data.json", roots / folder))["sources"]["coco"]
    assert source["skipped"] == {"crowd": 1, "in mig_bench, by name": 0, "in mig_bench, by picture": 1}
    assert source["examples"]["in mig_bench, by picture"] == ["12"] and source["frames"] == 9


@pytest.mark.parametrize("folder", ["coco", "coco/train2017", "elsewhere"])
def test_a_folder_without_the_images_is_refused_before_work(roots: Path, folder: str) -> None:
    (roots / "elsewhere").mkdir()
    with pytest.raises(Refused, match=r"mig_bench: 2 of the 2 images .* are not below .*such as MIG-Bench/images/comm"):
        composed(roots, (roots / "MIG-Bench" / "MIG_data.json", roots / folder))
    assert not (roots / "out").exists()


def test_a_benchmark_that_is_half_unpacked_is_refused(roots: Path) -> None:
    (roots / "MIG-Bench" / "images" / "common" / "2.jpg").unlink()
    with pytest.raises(Refused, match=r"1 of the 2 images .* such as MIG-Bench/images/common/2\.jpg"):
        composed(roots, (roots / "MIG-Bench" / "MIG_data.json", roots))


def test_names_that_identify_nothing_need_the_images(roots: Path) -> None:
    with pytest.raises(
        Refused, match=r"no image name .* identifies an image, such as '\./MIG-Bench/images/common/1\.jpg'"
    ):
        composed(roots, (roots / "MIG-Bench" / "MIG_data.json", None))


def test_pictures_of_a_benchmark_that_cannot_be_compared_are_named(roots: Path) -> None:
    images = roots / "MIG-Bench" / "images" / "common"
    (images / "2.jpg").write_bytes(b"no picture")
    source = composed(roots, (roots / "MIG-Bench" / "MIG_data.json", images))["sources"]["coco"]
    assert source["skipped"]["in mig_bench, by picture"] == 1
    assert source["skipped"]["picture of mig_bench that cannot be read, not compared with"] == 1
    assert source["examples"]["picture of mig_bench that cannot be read, not compared with"] == ["2.jpg"]
    Image.new("RGB", (90, 90), "red").save(images / "1.jpg")
    with pytest.raises(Refused, match="can be compared: 1 cannot be read, 1 is all of one colour"):
        composed(roots, (roots / "MIG-Bench" / "MIG_data.json", images), "again")


def test_own_pictures_that_cannot_be_compared_are_named(roots: Path) -> None:
    own, benchmark = roots / "coco" / "train2017", (roots / "MIG-Bench" / "MIG_data.json", roots)
    (own / "000000000009.jpg").write_bytes(b"no picture")
    with Image.open(own / "000000000010.jpg") as image:
        size = image.size
    Image.new("RGB", size, "red").save(own / "000000000010.jpg")
    manifest = composed(roots, benchmark)
    source = manifest["sources"]["coco"]
    assert source["skipped"] == {
        "crowd": 1,
        "in mig_bench, by name": 0,
        "in mig_bench, by picture": 1,
        "picture that cannot be read": 1,
        "picture of one colour, kept without a comparison": 1,
    }
    assert source["examples"]["picture that cannot be read"] == ["9"] and source["frames"] == 8
    assert source["examples"]["picture of one colour, kept without a comparison"] == ["000000000010.jpg"]
    assert "coco: picture that cannot be read: 1" in mg_data.table(manifest)
    for file in own.iterdir():
        file.write_bytes(b"no picture")
    with pytest.raises(Refused, match=r"coco: none of its 10 pictures below .*train2017 can be read"):
        composed(roots, benchmark, "again")


def test_refcoco_s_refs_name_an_image_with_the_number_of_an_annotation(roots: Path) -> None:
    image = "COCO_train2014_000000000012.jpg"
    (roots / "train2014").mkdir()
    photograph(3, (300, 200)).save(roots / "train2014" / image)
    refs = roots / "refs(unc).p"
    refs.write_bytes(pickle.dumps([{"file_name": image.replace(".jpg", "_77.jpg"), "split": "val"}]))
    assert leakage.images_below("refcoco", refs, roots / "train2014") == [image]


def test_excluding_again_counts_the_same(roots: Path) -> None:
    benchmark = roots / "MIG-Bench" / "MIG_data.json", roots
    first = composed(roots, benchmark)
    (roots / "out" / "shards").rename(roots / "shards")
    again = composed(roots, benchmark)
    assert again["sources"] == first["sources"] and again["content"] == first["content"]
    assert manifest(roots / "shards")["rows"] == again["rows"]


CASE = Path(__file__).parents[3] / "shared" / "cases" / "exclude_finds_nothing"


@pytest.mark.skipif(not CASE.is_dir(), reason="only where the shared cases lie beside the project")
def test_the_shared_case(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASE)
    command = [str(tmp_path / "mg"), "--root", "coco=coco", "--share", "0.0005", "--workers", "1"]
    assert mg_data.main([*command, "--exclude", "mig_bench=MIG-Bench/MIG_data.json,MIG-Bench/images"]) == 0
    assert "coco: in mig_bench, by picture: 1" in capsys.readouterr().out
