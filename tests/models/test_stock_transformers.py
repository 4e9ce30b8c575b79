"""What is saved is a checkpoint of transformers: it loads, and answers the same, without this package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from gemvg_repro.models.loading import save

from ..tiny_model import model_and_processor

_STOCK = """
import sys
import torch
from transformers import AutoModelForImageTextToText, AutoTokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil as ImageProcessor
from PIL import Image
folder = sys.argv[1]
model, info = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
assert not any(info.values()), info
tokenizer, images = AutoTokenizer.from_pretrained(folder), ImageProcessor.from_pretrained(folder)
message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Where?"}]}
text = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
pixels = images([Image.new("RGB", (64, 48), "red")], return_tensors="pt")
token = "<|image_pad|>"
tokens = int(pixels["image_grid_thw"].prod()) // images.merge_size**2
ids = torch.tensor([tokenizer(text.replace(token, token * tokens))["input_ids"]])
types = (ids == model.config.image_token_id).int()
with torch.no_grad():
    logits = model(input_ids=ids, mm_token_type_ids=types, **pixels).logits
torch.save({"ids": ids, "types": types, "logits": logits, **pixels}, sys.argv[2])
assert not any(name.startswith("gemvg_repro") for name in sys.modules)
"""


def test_stock_transformers_load_what_was_saved(tmp_path: Path) -> None:
    model, processor = model_and_processor()
    save(model, processor, tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-c", _STOCK, str(tmp_path / "model"), str(tmp_path / "stock.pt")],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    stock = torch.load(tmp_path / "stock.pt", weights_only=True)
    images = {name: stock[name] for name in ("pixel_values", "image_grid_thw")}
    with torch.no_grad():
        ours = model(input_ids=stock["ids"], mm_token_type_ids=stock["types"], **images).logits
    assert torch.allclose(ours, stock["logits"], atol=1e-5)
