"""The miniature's tokenizer: Qwen2-VL's special tokens, a few words, and one token a coordinate."""

from __future__ import annotations

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ..grounding.number_words import CARDINALS
from .questions import LETTERS
from .world import CATEGORIES, COLOURS

COORDINATE_STEP = 20
"""Coordinates are multiples of this, of 0 to 1000: 51 positions, a little more than a pixel apart."""

COORDINATES = range(0, 1001, COORDINATE_STEP)

COORDINATE_FORMS = ("({},", "{}),", "{})")
"""How a coordinate is written with its punctuation: x, the first y, the last y. Each is a token of its own."""

SPECIAL_TOKENS = (
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
"""In Qwen2-VL's own order (ids 151643 to 151656 there), all of them special."""

# Qwen/Qwen2-VL-7B-Instruct, chat_template.json: the template as published, so that prompts are laid out alike.
CHAT_TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}"
    "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "{% set video_count.value = video_count.value + 1 %}"
    "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}"
    "<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_WORDS = (
    "system user assistant You are helpful Answer with the boxes letter only Think first then answer Find find every "
    "object of same category colour as in Picture pictures Pictures shows a an close view this other frames video "
    "that moves moves moving is The the other others red Do and show yes no Which picture different from How many "
    "times there none be one its Name box"
).split()

# A coordinate with its brackets and comma, the name of a picture, a tag, a word with the blank before it.
_PIECES = r"\(\d+,|\d+\),?|Picture \d: ?| ?Picture \d|</?(?:think|answer)>|; | ?[A-Za-z]+|\n|."


def _vocabulary() -> list[str]:
    """Every token but the special ones, in order: bytes first, so that any text can be written."""
    pieces = [form.format(n) for form in COORDINATE_FORMS for n in COORDINATES]
    pieces += [form.format(k) for form in ("Picture {}: ", "Picture {}", " Picture {}") for k in range(1, 7)]
    pieces += ["<think>", "</think>", "<answer>", "</answer>", "; "]
    words = [*_WORDS, *CATEGORIES, *COLOURS, *CARDINALS, *LETTERS]
    pieces += [form + word for word in dict.fromkeys(words) for form in ("", " ")]
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    spelled = [to_bytes.pre_tokenize_str(piece)[0][0] for piece in pieces]
    return list(dict.fromkeys([*sorted(pre_tokenizers.ByteLevel.alphabet()), *spelled]))


def coordinate_ids(tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """The ids of the coordinates' tokens in ascending order, for each of COORDINATE_FORMS."""
    spelled = [[form.format(n) for n in COORDINATES] for form in COORDINATE_FORMS]
    return [[ids[0] for ids in tokenizer(form, add_special_tokens=False)["input_ids"]] for form in spelled]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer: longest piece of the vocabulary first, single bytes for all else."""
    vocabulary = {piece: i for i, piece in enumerate(_vocabulary())}
    longest_first = models.WordPiece(
        vocabulary, unk_token="!", continuing_subword_prefix="", max_input_chars_per_word=10**6
    )
    tokenizer = Tokenizer(longest_first)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=list(SPECIAL_TOKENS[1:]),
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
        model_max_length=32768,
    )
