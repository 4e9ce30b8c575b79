"""What turns messages and pictures into tokens and patches?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, Qwen2VLProcessor

from .image_processor import DistinctImageProcessor


class ImageOnlyProcessor(Qwen2VLProcessor):  # type: ignore[misc]
    """Qwen2-VL's processor without the part for videos, which needs torchvision and which nothing here uses."""

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        chat_template: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(image_processor, tokenizer, None, chat_template=chat_template)

    @classmethod
    def get_attributes(cls) -> list[str]:
        return ["image_processor", "tokenizer"]

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        if argument is None:
            return None
        return super().check_argument_for_proper_class(argument_name, argument)


def load_processor(folder: str | Path, max_pixels: int | None = None) -> ImageOnlyProcessor:
    """The processor of a checkpoint: a local folder or a hub's name.

    `max_pixels` bounds the pixels of a picture after resizing; None keeps the checkpoint's own bound.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side = "left"
    images = DistinctImageProcessor.from_pretrained(folder)
    if max_pixels is not None:
        images.size = {"shortest_edge": images.size["shortest_edge"], "longest_edge": max_pixels}
    return ImageOnlyProcessor(images, tokenizer, chat_template=tokenizer.chat_template)
