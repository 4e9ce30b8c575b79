"""The miniature is Qwen2-VL: what differs from the 7B model is this table, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

from gemvg_repro.miniature.model import Sizes, build_config, build_image_processor, build_model, deepen, save_random
from gemvg_repro.miniature.tokenizer import build_tokenizer
from gemvg_repro.models.loading import load, save

from ..tiny_model import SIZES

DIFFERS = {
    "vocab_size": "words of the world, one token a coordinate",
    "hidden_size": "size",
    "intermediate_size": "size",
    "num_hidden_layers": "size",
    "num_attention_heads": "size",
    "num_key_value_heads": "size: as many as heads, of which there are few",
    "max_position_embeddings": "size",
    "rope_parameters": "1e6 would leave so small a head no sense of position",
    "tie_word_embeddings": "size; as in Qwen2-VL-2B",
    "bos_token_id": "vocabulary",
    "eos_token_id": "vocabulary",
    "pad_token_id": "vocabulary",
    "max_window_layers": "size; unused, there is no sliding window",
    "layer_types": "size: one a layer",
}
VISION_DIFFERS = {
    "depth": "size",
    "embed_dim": "size",
    "hidden_size": "size",
    "mlp_ratio": "size",
    "num_heads": "size",
    "patch_size": "small pictures",
    "temporal_patch_size": "no videos",
    "rope_parameters": "pictures of 8 by 8 patches",
}


def differences(ours: dict[str, object], stock: dict[str, object]) -> set[str]:
    return {k for k in ours.keys() | stock.keys() if ours.get(k) != stock.get(k)}


def test_the_table_of_differences() -> None:
    """transformers' defaults of Qwen2VLConfig are those of the 7B model."""
    ours, stock = build_config(build_tokenizer(), Sizes()).to_dict(), Qwen2VLConfig().to_dict()
    assert differences(ours["text_config"], stock["text_config"]) <= DIFFERS.keys()
    assert differences(ours["vision_config"], stock["vision_config"]) <= VISION_DIFFERS.keys()


def test_the_image_processor_differs_in_sizes_only() -> None:
    ours = build_image_processor(Sizes()).to_dict()
    stock = type(build_image_processor(Sizes()))().to_dict()
    assert differences(ours, stock) <= {"patch_size", "temporal_patch_size", "size"}


def test_the_model_is_the_real_class() -> None:
    assert type(build_model(Sizes(), 0)) is Qwen2VLForConditionalGeneration


def test_equal_seeds_give_equal_weights_and_leave_torch_alone() -> None:
    before = torch.random.get_rng_state()
    one, two, other = build_model(Sizes(), 0), build_model(Sizes(), 0), build_model(Sizes(), 1)
    assert torch.equal(before, torch.random.get_rng_state())
    pairs = zip(one.parameters(), two.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_idle_layers_leave_every_logit_and_torch_as_they_were_and_can_learn() -> None:
    model = build_model(SIZES, 0)
    before = torch.random.get_rng_state()
    deeper = deepen(model, 2, 0)
    assert torch.equal(before, torch.random.get_rng_state())
    assert deeper.config.text_config.num_hidden_layers == SIZES.layers + 2
    tokens = torch.arange(60).reshape(2, 30)
    logits = deeper(input_ids=tokens).logits
    assert torch.equal(logits, model(input_ids=tokens).logits)
    logits.square().mean().backward()
    first = deeper.model.language_model.layers[0]
    assert first.self_attn.o_proj.weight.grad.any() and first.mlp.down_proj.weight.grad.any()
    pairs = zip(deeper.parameters(), deepen(model, 2, 0).parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_save_and_load_give_identical_logits(tmp_path: Path) -> None:
    save_random(tmp_path / "random", Sizes(), 0)
    model, processor = load(tmp_path / "random", "float32")
    save(model, processor, tmp_path / "again")
    again, processor_again = load(tmp_path / "again", "float32")
    from PIL import Image

    picture = Image.effect_noise((70, 50), 80).convert("RGB")
    text = "<|vision_start|><|image_pad|><|vision_end|>Find every red disc."
    inputs = processor(text=[text], images=[[picture]], return_tensors="pt")
    inputs_again = processor_again(text=[text], images=[[picture]], return_tensors="pt")
    assert inputs.keys() == inputs_again.keys()
    assert torch.equal(model(**inputs).logits, again(**inputs_again).logits)


def test_a_loaded_model_runs_no_foreign_code(tmp_path: Path) -> None:
    build_model(Sizes(), 0).save_pretrained(tmp_path, safe_serialization=True)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        load(tmp_path, "float32")
