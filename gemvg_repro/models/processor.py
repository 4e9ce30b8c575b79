"""A model's processor (tokenizer, image processor, and its family's notation of boxes), for images only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, Qwen2VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize

from ..grounding.answers import BOX_START
from ..grounding.notations import Size
from ..grounding.samples import Picture
from .chat_template import read_template
from .families import QWEN2_VL, Family, family_of_folder


class ImageOnlyProcessor(Qwen2VLProcessor):  # type: ignore[misc]
    """Qwen2-VL's processor without its video processor, which needs torchvision and which nothing here uses.

    For images, those of all families are the same, but for the notation of boxes that their models know.
    """

    family: Family = QWEN2_VL

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

    def write(self, text: str, pictures: Sequence[Picture]) -> str:
        """A text of the package about these pictures, with its boxes as the family writes them."""
        return self.family.notation.write(text, self._frames(pictures)) if BOX_START in text else text

    def read(self, text: str, pictures: Sequence[Picture]) -> str:
        """What the family's model wrote about these pictures, with its boxes as the package writes them."""
        return self.family.notation.read(text, self._frames(pictures))

    def _frames(self, pictures: Sequence[Picture]) -> list[Size]:
        """The size that each picture is resized to, (0, 0) where the notation does not ask: it takes decoding it."""
        if not self.family.notation.pixels:
            return [(0, 0)] * len(pictures)
        processor = self.image_processor
        limits = {"min_pixels": processor.size["shortest_edge"], "max_pixels": processor.size["longest_edge"]}
        factor = processor.patch_size * processor.merge_size
        sizes = (smart_resize(*picture.pixels().shape[:2], factor=factor, **limits) for picture in pictures)
        return [(width, height) for height, width in sizes]


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
    processor = ImageOnlyProcessor(image_processor, tokenizer, chat_template=tokenizer.chat_template)
    processor.family = family_of_folder(folder)
    return processor
