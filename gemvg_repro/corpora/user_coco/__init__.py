"""A user's own COCO-format file: read and checked, and the samples that it gives."""

from .file import READER_VERSION, AnnotatedImage, Coco, load
from .samples import check_trainable, detection, samples_of, semantic

__all__ = [
    "READER_VERSION",
    "AnnotatedImage",
    "Coco",
    "check_trainable",
    "detection",
    "load",
    "samples_of",
    "semantic",
]
