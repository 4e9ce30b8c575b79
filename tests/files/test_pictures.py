from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from gemvg_repro.files import pictures
from gemvg_repro.files.pictures import CutOut, FilePicture, GreyPicture
from gemvg_repro.files.validation import Refused
from gemvg_repro.grounding.samples import Sample
from gemvg_repro.stages import data

from ..corpora.made import pixels


def save(folder: Path, name: str, array: np.ndarray, **options: object) -> FilePicture:
    Image.fromarray(array).save(folder / name, **options)  # type: ignore[arg-type]
    return FilePicture(folder, name)


def test_a_png_is_read_as_it_is(tmp_path: Path) -> None:
    picture = save(tmp_path, "a.png", pixels(1, 20, 10))
    assert picture.size() == (20, 10)
    assert np.array_equal(picture.pixels(), pixels(1, 20, 10))


def test_an_exif_orientation_is_not_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to show
    picture = save(tmp_path, "a.jpg", pixels(1, 20, 10), exif=exif)
    assert picture.size() == (20, 10)
    assert picture.pixels().shape == (10, 20, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("most_pixels", [None, 60])
def test_a_turned_picture_is_as_viewers_show_it(tmp_path: Path, orientation: int, most_pixels: int | None) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path, "a.png", pixels(1, 20, 10), exif=exif)
    picture = FilePicture(tmp_path, "a.png", most_pixels, turned=True)
    with Image.open(tmp_path / "a.png") as stored:
        upright = ImageOps.exif_transpose(stored)
    assert (picture.header().orientation, picture.size()) == (orientation, upright.size)
    if most_pixels is None:
        assert np.array_equal(picture.pixels(), np.asarray(upright))
    else:
        assert picture.pixels().shape[:2] == ((10, 5) if orientation > 4 else (5, 10))


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    Image.fromarray(pixels(1, 8, 8)).convert(mode).save(tmp_path / "a.tiff")
    assert FilePicture(tmp_path, "a.tiff").pixels().shape == (8, 8, 3)


def test_a_telephone_s_jpeg_of_several_frames_is_its_first(tmp_path: Path) -> None:
    first, second = (Image.fromarray(np.full((8, 8, 3), v, dtype=np.uint8)) for v in (40, 200))
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    assert abs(int(FilePicture(tmp_path, "a.jpg").pixels().mean()) - 40) <= 1


def test_16_bit_grey_keeps_its_range(tmp_path: Path) -> None:
    grey = np.array([[0, 0x8000, 0xFFFF]], dtype=np.uint16)
    assert save(tmp_path, "a.png", grey).pixels()[0, :, 0].tolist() == [0, 0x80, 0xFF]


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("uint16", [0, 2048, 4095], [0, 128, 255]),  # 12 bits in 16
        (">u2", [0, 2048, 4095], [0, 128, 255]),
        ("uint16", [0, 512, 1023], [0, 128, 255]),
        ("uint16", [0, 8192, 16383], [0, 128, 255]),
        ("uint16", [0, 7, 200], [0, 7, 200]),
        ("int32", [0, 128, 255], [0, 128, 255]),
        ("int32", [0, 0x8000, 0xFFFF], [0, 128, 255]),
        ("int16", [0, 2048, 4095], [0, 128, 255]),
        ("float32", [0, 0.5, 1], [0, 128, 255]),
        ("float32", [0, 127.6, 250], [0, 128, 250]),
        ("float32", [0, 7, 90], [0, 7, 90]),
        ("float32", [0, 0, 0], [0, 0, 0]),
    ],
)
def test_deep_grey_is_scaled_by_the_bits_that_its_brightest_pixel_needs(
    tmp_path: Path, dtype: str, values: list[float], expected: list[int]
) -> None:
    picture = save(tmp_path, "a.tiff", np.array([values], dtype=dtype))
    assert picture.pixels()[0].tolist() == [[value] * 3 for value in expected]


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("int16", [-1000, 0, 400]),  # Hounsfield units
        ("int32", [0, 5, 70_000]),  # depth in micrometres
        ("float32", [0.4, 2, 9.5]),  # depth in metres
        ("float32", [280, 290, 310]),  # kelvin
        ("float32", [0, float("nan"), 1]),
        ("float32", [-0.5, 0, 0.5]),
    ],
)
def test_grey_without_a_known_range_is_refused(tmp_path: Path, dtype: str, values: list[float]) -> None:
    picture = save(tmp_path, "a.tiff", np.array([values], dtype=dtype))
    with pytest.raises(Refused, match=r"'a\.tiff'.*grey values from .* \(mode [IF]\)"):
        picture.pixels()


def test_a_pgm_of_12_bits_has_its_range_in_its_header(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P5 3 1 4095\n" + np.array([0, 2048, 4095], dtype=">u2").tobytes())
    assert FilePicture(tmp_path, "a.pgm").pixels()[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_photograph_is_scaled_with_its_proportions(tmp_path: Path, name: str) -> None:
    save(tmp_path, name, np.full((1500, 2000, 3), 90, dtype=np.uint8))
    picture = FilePicture(tmp_path, name, most_pixels=120_000)
    assert picture.pixels().shape == (300, 400, 3)
    assert abs(int(picture.pixels().mean()) - 90) <= 1
    assert picture.size() == (2000, 1500)


def test_a_photograph_of_20_megapixels_that_is_asked_about_often_is_decoded_once_and_never_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, "a.jpg", np.full((4000, 5000, 3), 90, dtype=np.uint8))
    decoded = []
    convert = Image.Image.convert

    def watched(image: Image.Image, mode: str) -> Image.Image:
        decoded.append(image.size)
        return convert(image, mode)

    monkeypatch.setattr(Image.Image, "convert", watched)
    shapes = {FilePicture(tmp_path, "a.jpg", most_pixels=262_144).pixels().shape for _ in range(13)}
    assert shapes == {(457, 572, 3)}
    assert decoded == [(625, 500)]  # an eighth of each side, by the decoder
    save(tmp_path, "a.jpg", np.full((40, 50, 3), 90, dtype=np.uint8))
    assert FilePicture(tmp_path, "a.jpg", most_pixels=262_144).pixels().shape == (40, 50, 3)


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "folder/../../secret.png", "inner/../../secret.png"])
def test_a_path_that_leaves_its_folder_is_refused(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    save(tmp_path, "secret.png", pixels(1, 4, 4))
    (root / "inner").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="leads out of this folder"):
        FilePicture(root, path).pixels()


def test_links_are_the_user_s(tmp_path: Path) -> None:
    """As git-annex, DVC and the hub's cache lay files, and as a user links a folder of images."""
    root, store = tmp_path / "root", tmp_path / "store"
    root.mkdir()
    store.mkdir()
    save(store, "a1b2.png", pixels(1, 20, 10))
    (store / "a1b2.png").rename(store / "a1b2")
    (root / "a.png").symlink_to(Path("../store/a1b2"))
    (root / "folder").symlink_to(store)
    for path in ("a.png", "folder/a1b2", "./a.png", "folder/../a.png"):
        picture = FilePicture(root, path)
        assert np.array_equal(picture.pixels(), pixels(1, 20, 10))
        assert (picture.size(), picture.file()) == ((20, 10), (store / "a1b2").resolve())


def test_a_link_without_its_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(".git/annex/objects/xyz")
    with pytest.raises(
        Refused, match=r"'a\.png'.*it is a link to \.git/annex/objects/xyz, which is not there: fetch it"
    ):
        FilePicture(tmp_path, "a.png").pixels()


def test_what_is_no_image_is_refused_with_its_name(tmp_path: Path) -> None:
    picture = save(tmp_path, "whole.jpg", pixels(1, 64, 64))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "script.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    for name in ("cut.jpg", "text.png", "script.eps", "missing.png", "", "nul\0.png", "x" * 300):
        with pytest.raises(Refused) as caught:
            FilePicture(tmp_path, name).pixels()
        assert repr(name) in str(caught.value)
    assert picture.pixels().shape == (64, 64, 3)


def test_a_decompression_bomb_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = save(tmp_path, "a.png", pixels(1, 20, 10))
    monkeypatch.setattr(pictures, "MAX_STORED_PIXELS", 199)
    with pytest.raises(Refused, match="has 20x10 pixels"):
        picture.size()


def test_a_cut_out_covers_its_box(tmp_path: Path) -> None:
    whole = save(tmp_path, "a.png", pixels(1, 20, 10))
    assert np.array_equal(CutOut(whole, (0.25, 0.5, 0.52, 1.0)).pixels(), pixels(1, 20, 10)[5:10, 5:11])


def test_grey_has_the_size_and_nothing_else(tmp_path: Path) -> None:
    grey = GreyPicture(save(tmp_path, "a.png", pixels(1, 20, 10))).pixels()
    assert grey.shape == (10, 20, 3)
    assert np.unique(grey).tolist() == [128]


@pytest.mark.parametrize("size", [(2800, 14), (2801, 14), (14, 2801), (1, 200), (201, 1), (20, 20)])
def test_a_sliver_is_what_qwen2_vl_refuses(size: tuple[int, int]) -> None:
    try:
        smart_resize(size[1], size[0])
    except ValueError:
        assert f"has {size[0]}x{size[1]} pixels" in str(pictures.sliver(*size))
    else:
        assert pictures.sliver(*size) is None


def test_a_benchmark_s_sliver_is_named_before_work_begins(tmp_path: Path) -> None:
    images = save(tmp_path, "a.png", pixels(1, 20, 20)), save(tmp_path, "b.png", pixels(1, 402, 2))
    sample = Sample("first", "scene", "referential", "a benchmark", images, "Find it.")
    data.check_pictures(tmp_path, [replace(sample, pictures=images[:1])])
    with pytest.raises(Refused, match="first, picture 2: has 402x2 pixels: one side is more than 200 times the other"):
        data.check_pictures(tmp_path, [sample])
