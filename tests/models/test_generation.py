"""Answers do not hang on the batch, and every sample gets one."""

from __future__ import annotations

from gemvg_repro.models.generation import answer

from ..tiny_model import model_and_processor, samples


def test_batches_answer_as_single_prompts_do() -> None:
    model, processor = model_and_processor()
    test = samples("test")
    many = {p.sample: p for b in answer(model, processor, test, "direct", batch=7, max_new_tokens=6) for p in b}
    one = {p.sample: p for b in answer(model, processor, test, "direct", batch=1, max_new_tokens=6) for p in b}
    assert many.keys() == {s.id for s in test}
    assert sum(many[s].text == one[s].text for s in many) >= len(many) - 1  # ties of random logits


def test_the_text_ends_with_the_end_token_and_counts_its_tokens() -> None:
    model, processor = model_and_processor()
    for batch in answer(model, processor, samples("test")[:4], "cot", batch=4, max_new_tokens=5):
        for said in batch:
            ids = processor.tokenizer(said.text, add_special_tokens=False)["input_ids"]
            assert said.tokens <= 5
            assert processor.tokenizer.decode(ids) == said.text
