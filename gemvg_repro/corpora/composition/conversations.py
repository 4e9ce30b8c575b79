"""Understanding: a conversation about several pictures, as the source has it.

An anchor is a conversation. Its pictures keep their order, since the turns speak of the first and the second one.
"""

from __future__ import annotations

from ..frames import Frame
from .composed import Bench, Composed, Unfit, same_question, shown


def compose(bench: Bench, c: int) -> Composed:
    """A sample of conversation `c`. Raises Unfit."""
    index, rules = bench.index, bench.rules
    conversation = index.conversation(c)
    if conversation is None:
        raise Unfit("no such conversation")
    frames: list[Frame] = [frame for path in conversation.images if (frame := index.by_id(path))]
    if len(frames) < len(conversation.images):
        raise Unfit("a picture was taken out")
    if not rules.pictures[0] <= len(set(conversation.images)) == len(frames) <= rules.pictures[1]:
        raise Unfit("too few pictures, too many, or one twice")
    said = [text for turn in conversation.turns for text in turn]
    return Composed(
        "understanding", index.source, f"conversation/{conversation.id}", "", shown(frames), conversation.turns[0][0],
        (), "", same_question("conversation", *said, conversation.images), conversation.id, conversation.turns,
    )  # fmt: skip
