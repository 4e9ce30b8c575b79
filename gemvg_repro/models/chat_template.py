"""The chat template of a checkpoint: read from its files, and checked to name images as answers do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files.validation import read_json
from ..grounding.prompts import CHAT_TEMPLATE_KWARGS

_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
_TEXT = "Where?"


def read_template(folder: Path) -> str | None:
    """The template that transformers' processor takes; None where there is none.

    It is that of chat_template.json (where Qwen2-VL and its finetunes keep it), else of chat_template.jinja (as
    transformers saves it today), else of tokenizer_config.json, alone or as "default" of several.

    Raises:
        Refused: one of the files is no JSON.
    """
    if (folder / "chat_template.json").is_file():
        return _text(read_json(folder / "chat_template.json"))
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text("utf-8", "replace")
    return _text(read_json(folder / "tokenizer_config.json"))


def _text(document: Any) -> str | None:
    template = document.get("chat_template") if isinstance(document, dict) else None
    if isinstance(template, list):
        named = [each for each in template if isinstance(each, dict) and each.get("name") == "default"]
        template = named[0].get("template") if named else None
    return template if isinstance(template, str) else None


def template_error(template: str | None) -> str | None:
    """Why a template cannot write prompts: each image must follow its name, as in "Picture 1: " and Qwen2-VL's image
    tokens. None if it can."""
    if template is None:
        return "is missing"
    from transformers.utils.chat_template_utils import render_jinja_template  # takes a second

    message = {"role": "user", "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": _TEXT}]}
    try:
        (prompt,), _ = render_jinja_template(
            [[message]], chat_template=template, add_generation_prompt=True, **CHAT_TEMPLATE_KWARGS
        )
    except Exception as error:  # whatever a template of unknown origin raises
        return f"fails on a question about two images: {type(error).__name__}: {error!s:.200}"
    for k in (1, 2):
        if f"Picture {k}: {_IMAGE}" not in prompt:
            return (
                f"does not name images: a question about two becomes {prompt!r:.400}, without 'Picture {k}: {_IMAGE}'"
            )
    return None if _TEXT in prompt else f"leaves out the question: {_TEXT!r} about two images becomes {prompt!r:.400}"
