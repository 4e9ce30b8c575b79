from pathlib import Path

import av
import numpy as np
import pytest

from gemvg_repro.corpora.readers.videos import VideoPicture, size_of_video
from gemvg_repro.files.validation import Refused


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 frames at 30 a second, a key frame every 24; the grey level of each tells its number."""
    file = tmp_path_factory.mktemp("video") / "cam01.mp4"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "12", "g": "24", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for n in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 + 4 * n, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file


@pytest.mark.parametrize("n", [0, 1, 23, 24, 25, 31, 48, 49])
def test_a_frame_is_found_by_its_number(video: Path, n: int) -> None:
    pixels = VideoPicture(video.parent, video.name, n).pixels()
    assert pixels.shape == (48, 64, 3)
    assert abs(float(pixels.mean()) - (20 + 4 * n)) <= 1.5


def test_sizes_and_scaling(video: Path) -> None:
    assert size_of_video(video) == (64, 48)
    assert VideoPicture(video.parent, video.name, 3, most_pixels=16 * 12).pixels().shape == (12, 16, 3)


def test_a_frame_that_is_not_there_and_broken_files_are_refused(video: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no frame 50"):
        VideoPicture(video.parent, video.name, 50).pixels()
    with pytest.raises(Refused, match="no such file"):
        VideoPicture(tmp_path, "none.mp4", 0).pixels()
    with pytest.raises(Refused, match="out of this folder"):
        VideoPicture(tmp_path, f"../{video.parent.name}/{video.name}", 0).pixels()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(video.read_bytes()[:300])
    with pytest.raises(Refused, match="cannot be read as a video"):
        VideoPicture(tmp_path, "cut.mp4", 0).pixels()
    assert size_of_video(cut) is None


@pytest.mark.parametrize(("turned", "shape"), [(0, (48, 64)), (90, (64, 48)), (180, (48, 64)), (-90, (64, 48))])
def test_a_frame_is_turned_as_it_is_shown(tmp_path: Path, turned: int, shape: tuple[int, int]) -> None:
    """A phone held upright stores its frames lying, and by how much they are to be turned, counterclockwise."""
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24, :32] = 220  # the upper left quarter
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(turned)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="rgb24")))
        container.mux(stream.encode())
    pixels = VideoPicture(tmp_path, "a.mp4", 1).pixels()
    assert pixels.shape[:2] == shape and size_of_video(tmp_path / "a.mp4") == shape[::-1]
    expected = np.rot90(stored, turned // 90)
    assert np.abs(pixels.astype(int) - expected).mean() < 10
