"""The prompt of a sample, as chat messages, in direct and in CoT mode."""

from __future__ import annotations

from typing import Any

from .samples import Mode, Sample

CHAT_TEMPLATE_KWARGS: dict[str, Any] = {"add_vision_id": True}
"""Makes Qwen2-VL's own chat template label each image "Picture k: " (k from 1), the name that answers use."""

_GROUNDING = {
    "direct": "Answer with the boxes only.",
    "cot": "Think first, then answer with the boxes.",
}
_CHOICE = {
    "direct": "Answer with the letter only.",
    "cot": "Think first, then answer with the letter.",
}


def instruction(sample: Sample, mode: Mode) -> str:
    """The sentence after the query that asks for the mode; none for a sample whose answer is free text."""
    if sample.text is not None:
        return ""
    return (_GROUNDING if sample.choice is None else _CHOICE)[mode]


def question(sample: Sample, mode: Mode) -> str:
    """The text of the user's turn: the query and the instruction, or what the benchmark's authors prescribe."""
    if sample.prompt is not None:
        return sample.prompt
    return f"{sample.query} {instruction(sample, mode)}".rstrip()


def messages(sample: Sample, mode: Mode, text: str | None = None) -> list[dict[str, Any]]:
    """One user turn in the chat format of transformers: every picture, then the question, or this `text` in its place.

    The pictures themselves are passed beside the messages, in order.
    """
    text = question(sample, mode) if text is None else text
    content: list[dict[str, Any]] = [{"type": "image"} for _ in sample.pictures]
    return [{"role": "user", "content": [*content, {"type": "text", "text": text}]}]
