"""Qwen2-VL's processor (tokenizer and image processor), for images only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, Qwen2VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from .chat_template import read_template


class ImageOnlyProcessor(Qwen2VLProcessor):  # type: ignore[misc]
    """Qwen2-VL's processor without its video processor, which needs torchvision and which nothing here uses."""

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


def load_processor(folder: Path, max_pixels: int | None = None) -> ImageOnlyProcessor:
    """The processor of a checkpoint folder, which pads on the left; processor and tokenizer have one chat template.

    `max_pixels` bounds the pixels of an image after resizing; None keeps the checkpoint's own bound.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side = "left"
    tokenizer.chat_template = read_template(folder)
    image_processor = Qwen2VLImageProcessorPil.from_pretrained(folder)
    if max_pixels is not None:
        image_processor.size = {"shortest_edge": image_processor.size["shortest_edge"], "longest_edge": max_pixels}
    return ImageOnlyProcessor(image_processor, tokenizer, chat_template=tokenizer.chat_template)
