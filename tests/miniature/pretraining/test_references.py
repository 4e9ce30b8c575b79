"""A reference ends with the name of its image, where the look of its object must be predicted."""

from __future__ import annotations

import torch

from gemvg_repro.grounding.samples import Sample
from gemvg_repro.miniature.model import Sizes, build_image_processor, build_model
from gemvg_repro.miniature.pretraining.references import References, reference_loss, references
from gemvg_repro.miniature.tokenizer import COORDINATE_STEP, build_tokenizer
from gemvg_repro.miniature.world import Frame, Thing
from gemvg_repro.models.processor import ImageOnlyProcessor
from gemvg_repro.training.collator import ConversationCollator, Turn

DISC = Thing(identity=0, category=0, colour=0, shade=8, x=0, y=0, w=10, h=10)
SQUARE = Thing(identity=1, category=1, colour=2, shade=8, x=48, y=20, w=12, h=12)
FRAMES = (Frame(0, 0, (SQUARE,)), Frame(1, 0, (SQUARE, DISC)))


def _naming(name: str, query: str, text: str) -> Turn:
    return Turn(Sample(name, "s", "understanding", "world", FRAMES, query, text=text), "direct")


def test_references_are_located_at_their_last_token() -> None:
    tokenizer = build_tokenizer()
    processor = ImageOnlyProcessor(build_image_processor(Sizes()), tokenizer, chat_template=tokenizer.chat_template)
    turns = [
        _naming("a", "Name the object in Picture 1.", "blue square"),
        _naming("b", "Name every object in Picture 2.", "red disc, blue square"),
        _naming("c", "Name the disc of Picture 2.", "red disc"),
    ]
    batch = ConversationCollator(processor, COORDINATE_STEP)([turns[1:2], turns])
    located = references([turns[1:2], turns], batch["input_ids"], batch["labels"])
    assert located.row.tolist() == [1, 1]
    prefixes = [tokenizer.decode(batch["input_ids"][1, : position + 1]) for position in located.position.tolist()]
    assert prefixes[0].endswith("Name the object in Picture 1") and prefixes[1].endswith("Name the disc of Picture 2")
    assert located.colour.tolist() == [2, 0] and located.category.tolist() == [1, 0]


def test_the_loss_is_of_the_words_of_the_look() -> None:
    model, tokenizer = build_model(Sizes(), 0), build_tokenizer()
    embeddings = model.model.language_model.embed_tokens.weight
    right = tokenizer(" blue square")["input_ids"]
    states = embeddings[right].sum(dim=0).reshape(1, 1, -1)
    first = torch.tensor([0])
    blue_square = References(first, first, torch.tensor([2]), torch.tensor([1]))
    low, share = reference_loss(model, states, blue_square)
    high, none = reference_loss(model, -states, blue_square)
    assert share == 1 and none == 0 and low < high
