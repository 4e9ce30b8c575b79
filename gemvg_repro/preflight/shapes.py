"""How large are a model's matrices, by its config alone? Without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from ..models.families import family_of
from ..training.settings import GRPOSettings, SFTSettings


@dataclass(frozen=True)
class TowerShape:
    """The sizes of a vision tower.

    Attributes:
        depth: its blocks, of which `full` attend to the whole image, and the others within windows.
        width: of a patch's hidden state.
        mlp: weights of a block's MLP.
        patch_values: numbers of a patch.
        merge: patches that become one token.
        window: patches of a window; 0: there are none.
        mergers: that make tokens, of the last block and of those whose features are passed on, too.
        output: width of a token.
        positions: of its learned embedding of positions.
    """

    depth: int
    full: int
    width: int
    mlp: int
    patch_values: int
    merge: int
    window: int
    mergers: int
    output: int
    positions: int

    @classmethod
    def of(cls, vision: Mapping[str, Any], hidden: int) -> Self:
        """Of the section `vision_config`, and the width of the language model.

        Qwen2-VL's says `embed_dim` and `mlp_ratio`; the later families' `hidden_size` and `intermediate_size`, with
        windows and a gated MLP (Qwen2.5-VL), or with features of several blocks and embedded positions (Qwen3-VL).
        """
        width = vision.get("embed_dim") or vision["hidden_size"]
        inner = int(width * vision["mlp_ratio"]) if "mlp_ratio" in vision else vision["intermediate_size"]
        window = vision.get("window_size", 0) // vision["patch_size"]
        channels = vision.get("in_channels", vision.get("in_chans", 3))
        return cls(
            depth=vision["depth"],
            full=len(vision["fullatt_block_indexes"]) if window else vision["depth"],
            width=width,
            mlp=(3 if window else 2) * width * inner,
            patch_values=channels * vision["temporal_patch_size"] * vision["patch_size"] ** 2,
            merge=vision["spatial_merge_size"] ** 2,
            window=window**2,
            mergers=1 + len(vision.get("deepstack_visual_indexes", ())),
            output=vision.get("out_hidden_size", hidden),
            positions=vision.get("num_position_embeddings", 0),
        )

    @property
    def matrices(self) -> int:
        """Weights that each patch passes through."""
        return self.patch_values * self.width + self.depth * (4 * self.width**2 + self.mlp)

    @property
    def merger_matrices(self) -> int:
        """Weights that each token passes through."""
        wide = self.width * self.merge
        return self.mergers * wide * (wide + self.output)

    @property
    def weights(self) -> int:
        """All weights, but for norms and biases."""
        return self.matrices + self.merger_matrices + self.positions * self.width

    def attention_flops(self, images: Sequence[int]) -> int:
        """Of attention between the patches of images of so many each."""
        whole = sum(n * n for n in images)
        within = sum(n * min(n, self.window) for n in images)
        return 4 * self.width * (whole * self.full + within * (self.depth - self.full))

    def flops(self, images: Sequence[int]) -> int:
        """Of the forward pass, likewise."""
        return 2 * sum(images) * (self.matrices + self.merger_matrices // self.merge) + self.attention_flops(images)


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a model of a supported family."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    tied: bool
    tower: TowerShape

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """Of config.json: flat, as the hub's of 2024 is, or with a `text_config`.

        Raises:
            Unsupported: it is of no supported family.
        """
        family_of(config)
        text = config.get("text_config") or config
        return cls(
            hidden=text["hidden_size"],
            intermediate=text["intermediate_size"],
            layers=text["num_hidden_layers"],
            heads=text["num_attention_heads"],
            kv_heads=text["num_key_value_heads"],
            head_size=text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"],
            vocabulary=text["vocab_size"],
            tied=bool(config.get("tie_word_embeddings", False)),
            tower=TowerShape.of(config["vision_config"], text["hidden_size"]),
        )

    @property
    def language_matrices(self) -> int:
        """Weights of the layers' matrices, which each token passes through; norms and biases are few beside them."""
        return self.layers * sum(columns * rows for columns, rows in self._sides.values())

    @property
    def embedding(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def weights(self) -> int:
        """All weights, but for norms and biases."""
        return self.language_matrices + self.tower.weights + self.embedding * (1 if self.tied else 2)

    def trained(self, settings: SFTSettings | GRPOSettings) -> int:
        """Those that are trained, or with LoRA the weights of its matrices."""
        if settings.lora:
            return self.layers * settings.lora.rank * sum(sum(self._sides[name]) for name in settings.lora.targets)
        return self.weights - (self.tower.weights if settings.frozen_vision else 0)

    @property
    def _sides(self) -> dict[str, tuple[int, int]]:
        """Columns and rows of a layer's matrices, by name."""
        queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        projections = {"q_proj": queries, "k_proj": keys, "v_proj": keys}
        mlp = {"gate_proj": self.intermediate, "up_proj": self.intermediate}
        wide = {name: (self.hidden, rows) for name, rows in {**projections, **mlp}.items()}
        return {**wide, "o_proj": (queries, self.hidden), "down_proj": (self.intermediate, self.hidden)}

    def attention_flops(self, attended: int) -> int:
        """Of the layers' attention in a forward pass; `attended` pairs of a query and a key."""
        return 4 * attended * self.heads * self.head_size * self.layers

    def language_flops(self, tokens: int, attended: int) -> int:
        """Of the layers' forward pass, likewise."""
        return 2 * self.language_matrices * tokens + self.attention_flops(attended)

    def head_flops(self, tokens: int) -> int:
        """Of the LM head's forward pass."""
        return 2 * self.embedding * tokens

    def kv_bytes(self, size: int) -> int:
        """Of a token's keys and values, in numbers of `size` bytes."""
        return 2 * self.layers * self.kv_heads * self.head_size * size
