"""A small tokenizer of Qwen2-VL's make, built offline.

The class, the pre-tokenizer (digits one by one) and the chat template are the official ones, as installed
with transformers and TRL (its file for Qwen2.5-VL is Qwen2-VL's template, character by character). The added
tokens and their flags are those of Qwen/Qwen2-VL-7B-Instruct's tokenizer_config.json. Only the merges differ:
they are learned from the few lines below.
"""

from __future__ import annotations

import json
from importlib.resources import files

from tokenizers import AddedToken, Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import Qwen2Tokenizer

ADDED_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
"""All of them special, in the official order."""

_CORPUS = (
    "You are a helpful assistant. system user assistant",
    "Picture 1: Picture 2: Picture 3: none (12,345),(678,900); (0,0),(1000,1000)",
    "Where is the red circle that moved between the pictures? Answer with the boxes only.",
    "Think first, then answer with the boxes. <think>It is the one on the left.</think><answer>none</answer>",
)


def qwen_tokenizer(merges: int = 250) -> Qwen2Tokenizer:
    """A `PreTrainedTokenizerFast`: 256 bytes, so many merges or fewer, then the added tokens."""
    learner = Tokenizer(BPE())
    learner.pre_tokenizer = Qwen2Tokenizer().backend_tokenizer.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = BpeTrainer(vocab_size=256 + merges, initial_alphabet=alphabet, show_progress=False)
    learner.train_from_iterator(_CORPUS, trainer)
    learned = json.loads(learner.to_str())["model"]
    added = {
        len(learned["vocab"]) + i: AddedToken(token, special=True, normalized=False)
        for i, token in enumerate(ADDED_TOKENS)
    }
    return Qwen2Tokenizer(
        vocab=learned["vocab"],
        merges=[tuple(merge) for merge in learned["merges"]],  # pairs, as it wants
        unk_token=None,  # as in the official file
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(ADDED_TOKENS),
        added_tokens_decoder=added,
        padding_side="left",
        chat_template=(files("trl") / "chat_templates" / "qwen2_5_vl.jinja").read_text("utf-8"),
    )
