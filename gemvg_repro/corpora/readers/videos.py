"""How is frame n of a video decoded? By PyAV (FFmpeg), counted from 0 in the order of presentation.

Frames are turned by the file's display matrix (a phone held upright stores them lying), as FFmpeg's command line does,
which extracted the frames that were annotated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...files.pictures import MAX_STORED_PIXELS, FilePicture
from ...files.validation import Refused

SUFFIXES = (".mp4",)


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with av.open(str(file), mode="r", format="mp4") as container:
            stream = container.streams.video[0]
            if not 0 < stream.width * stream.height <= MAX_STORED_PIXELS:
                raise Refused(f"{file} has pictures of {stream.width}x{stream.height} pixels")
            yield stream
    except Refused:
        raise
    except (av.FFmpegError, OSError, IndexError, ValueError) as error:
        raise Refused(f"{file} cannot be read as a video: {error}; is the download complete?") from error


def size_of_video(file: Path) -> tuple[int, int] | None:
    """Width and height of the frames as they are shown, by the first one; None if it cannot be read."""
    try:
        with _opened(file) as stream:
            for frame in stream.container.decode(stream):
                return (frame.height, frame.width) if frame.rotation % 180 else (frame.width, frame.height)
    except Refused:
        pass
    return None


_TURNS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, -180: Image.Transpose.ROTATE_180,
          -90: Image.Transpose.ROTATE_270}  # fmt: skip
"""By the degrees, counterclockwise, of a display matrix."""


def _upright(frame: Any) -> Image.Image:
    image: Image.Image = frame.to_image()
    return image.transpose(_TURNS[frame.rotation]) if frame.rotation in _TURNS else image


@dataclass(frozen=True, slots=True)
class VideoPicture:
    """Frame `member`, from 0, of the mp4 at `path` below `root`; scaled down to `most_pixels` like a FilePicture.

    A seek goes to the last key frame before it, so a picture costs the decoding of a few. `pixels` raises Refused
    if the file leads out of `root`, is missing, no mp4, cut off, or has fewer frames.
    """

    root: Path
    path: str
    member: int
    most_pixels: int | None = None

    def pixels(self) -> NDArray[np.uint8]:
        """RGB, of shape (height, width, 3)."""
        file = FilePicture(self.root, self.path).file()
        with _opened(file) as stream:
            rate = stream.average_rate
            if not rate or not stream.time_base:
                raise Refused(f"{file} does not say how many frames a second it has")
            start = stream.start_time or 0
            target_pts = start + round(self.member / rate / stream.time_base)
            half = 1 / rate / stream.time_base / 2
            stream.container.seek(target_pts, stream=stream, backward=True, any_frame=False)
            for frame in stream.container.decode(stream):
                if frame.pts is not None and frame.pts >= target_pts - half:
                    if frame.pts > target_pts + half:
                        break
                    return self._scaled(_upright(frame))
        raise Refused(f"{file} has no frame {self.member}, counted from 0; are annotation and video of one release?")

    def _scaled(self, image: Image.Image) -> NDArray[np.uint8]:
        limit = self.most_pixels or image.width * image.height
        scale = min(1.0, (limit / (image.width * image.height)) ** 0.5)
        size = max(1, int(image.width * scale)), max(1, int(image.height * scale))
        return np.asarray(image if size == image.size else image.resize(size, Image.Resampling.BOX))
