"""Every word of an answer points to the image token of its object."""

from __future__ import annotations

from gemvg_repro.grounding.samples import Sample, Target
from gemvg_repro.miniature.model import Sizes, build_image_processor
from gemvg_repro.miniature.pretraining.dense_targets import NOWHERE
from gemvg_repro.miniature.pretraining.pointing import pointers
from gemvg_repro.miniature.tokenizer import COORDINATE_STEP, build_tokenizer
from gemvg_repro.miniature.world import Frame, Thing
from gemvg_repro.models.processor import ImageOnlyProcessor
from gemvg_repro.training.collator import ConversationCollator, Turn

LEFT = Thing(identity=0, category=0, colour=0, shade=8, x=0, y=0, w=10, h=10)  # token 0
RIGHT = Thing(identity=1, category=1, colour=2, shade=8, x=48, y=20, w=12, h=12)  # token 7
FRAMES = (Frame(0, 0, (RIGHT,)), Frame(1, 0, (RIGHT, LEFT)))


def pointed(*turns: Turn) -> list[list[tuple[str, int]]]:
    """For each turn, the words of its answer and the image tokens that they point to."""
    tokenizer = build_tokenizer()
    processor = ImageOnlyProcessor(build_image_processor(Sizes()), tokenizer, chat_template=tokenizer.chat_template)
    batch = ConversationCollator(processor, COORDINATE_STEP)([turns])
    words = pointers([turns], batch["input_ids"], batch["labels"], cell=16)
    texts = [tokenizer.decode([batch["input_ids"][0, position + 1]]) for position in words.position.tolist()]
    answers: list[list[tuple[str, int]]] = [[]]
    for word, token in zip(texts, words.token.tolist(), strict=True):
        answers[-1].append((word, token))
        if word == "<|im_end|>":
            answers.append([])
    return answers[:-1]


def test_boxes_names_and_chains_of_thought() -> None:
    targets = (Target(1, LEFT.box), Target(1, RIGHT.box))
    finding = Sample("a", "s", "referential", "world", FRAMES, "Find every object.", targets, chain="disc: one.")
    naming = Sample(
        "b", "s", "understanding", "world", FRAMES, "Name every object in Picture 2.", text="red disc, blue square"
    )
    nothing = Sample("c", "s", "referential", "world", FRAMES, "Find every red cross.")
    direct, cot, names, none = pointed(
        Turn(finding, "direct"), Turn(finding, "cot"), Turn(naming, "direct"), Turn(nothing, "direct")
    )
    boxes = [16] * 7 + [23] * 8  # a picture's name, six tokens of a box; then with the separator before
    assert [token for _, token in direct] == [*boxes, NOWHERE]
    assert {token for word, token in cot[: cot.index(("<answer>", NOWHERE))]} == {NOWHERE}
    assert [token for _, token in cot[cot.index(("<answer>", NOWHERE)) + 1 :]] == [*boxes, NOWHERE, NOWHERE]
    assert names == [("red", 16), (" disc", 16), (",", 23), (" blue", 23), (" square", 23), ("<|im_end|>", NOWHERE)]
    assert none == [("none", NOWHERE), ("<|im_end|>", NOWHERE)]
