"""Every place in which a checkpoint keeps its template, and templates that cannot write prompts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gemvg_repro.files.validation import Refused
from gemvg_repro.grounding.prompts import CHAT_TEMPLATE_KWARGS, messages
from gemvg_repro.miniature.tokenizer import CHAT_TEMPLATE
from gemvg_repro.models.chat_template import template_error
from gemvg_repro.models.checkpoints import check
from gemvg_repro.models.generation import prompt_text
from gemvg_repro.models.processor import load_processor

from .. import tiny_model
from ..grounding import factories

TEXT_ONLY = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] + '<|im_end|>\n' }}{% endfor %}"


def checkpoint(folder: Path, place: str, template: str = CHAT_TEMPLATE) -> Path:
    """A small checkpoint with the template in this place only."""
    copy = Path(shutil.copytree(tiny_model.folder(), folder / "model"))
    (copy / "chat_template.jinja").unlink()
    config = json.loads((copy / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    if place == "tokenizer_config.json":
        config["chat_template"] = template
    elif place == "several":
        config["chat_template"] = [{"name": name, "template": template} for name in ("tool_use", "default")]
    elif place == "chat_template.json":
        (copy / place).write_text(json.dumps({"chat_template": template}))
    elif place:
        (copy / place).write_text(template)
    (copy / "tokenizer_config.json").write_text(json.dumps(config))
    return copy


@pytest.mark.parametrize("place", ["chat_template.json", "chat_template.jinja", "tokenizer_config.json", "several"])
def test_the_template_is_read_wherever_it_is_kept(place: str, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, place)
    check(folder)
    processor, sample = load_processor(folder), factories.sample()
    text = prompt_text(processor, sample, "direct")
    assert "Picture 1: <|vision_start|>" in text and "Picture 2: <|vision_start|>" in text
    chat = messages(sample, "direct")
    assert processor.apply_chat_template(chat, add_generation_prompt=True, **CHAT_TEMPLATE_KWARGS) == text


def test_that_of_the_processor_goes_before_that_of_the_tokenizer(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, "tokenizer_config.json", TEXT_ONLY)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": CHAT_TEMPLATE}))
    check(folder)
    assert load_processor(folder).tokenizer.chat_template == CHAT_TEMPLATE


@pytest.mark.parametrize(
    ("template", "error"),
    [
        (TEXT_ONLY, r"fails on a question about two images: TypeError"),
        (CHAT_TEMPLATE.replace("add_vision_id", "false"), r"does not name images: .* without 'Picture 1: <"),
        (CHAT_TEMPLATE.replace("Picture ", "Image-"), r"does not name images"),
        ("{{ 1 / 0 }}", "fails on a question about two images: ZeroDivisionError"),
        ("{% for m in messages %}", "fails on a question about two images: TemplateSyntaxError"),
        ("{{ messages.__class__.__mro__ }}", "fails on a question about two images: SecurityError"),
    ],
)
def test_a_template_that_cannot_write_prompts_is_refused_before_any_work(
    template: str, error: str, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match=rf"chat_template\.json: {error}.*; copy that of Qwen/Qwen2-VL-7B-Instruct"):
        check(checkpoint(tmp_path, "chat_template.json", template))


def test_a_checkpoint_without_a_template_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"chat_template\.json: is missing"):
        check(checkpoint(tmp_path, ""))


def test_a_template_that_leaves_out_the_question_is_refused() -> None:
    images = "".join(f"Picture {k}: <|vision_start|><|image_pad|><|vision_end|>" for k in (1, 2))
    assert "leaves out the question" in (template_error(images) or "")
    assert template_error(f"{images}Where?") is None
