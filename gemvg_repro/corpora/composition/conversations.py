"""How is a source's conversation about several images composed? Unchanged.

An anchor is a conversation. Its images keep their order, since the turns refer to the first and the second one.
"""

from __future__ import annotations

from ..frames import AnnotatedFrame
from .composed import ComposedSample, Context, Unfit, picture_refs, question_key


def compose(bench: Context, c: int) -> ComposedSample:
    """A sample of conversation `c`. Raises Unfit."""
    index, rules = bench.index, bench.rules
    conversation = index.conversation(c)
    if conversation is None:
        raise Unfit("no such conversation")
    frames: list[AnnotatedFrame] = [frame for path in conversation.images if (frame := index.by_id(path))]
    if len(frames) < len(conversation.images):
        raise Unfit("a picture was taken out")
    if not rules.pictures[0] <= len(set(conversation.images)) == len(frames) <= rules.pictures[1]:
        raise Unfit("too few pictures, too many, or one twice")
    texts = [text for turn in conversation.turns for text in turn]
    return ComposedSample(
        "understanding", index.source, f"conversation/{conversation.id}", "", picture_refs(frames),
        conversation.turns[0][0],
        (), "", question_key("conversation", *texts, conversation.images), conversation.id, conversation.turns,
    )  # fmt: skip
