"""Transformer encoder and decoder in DETR's post-norm form."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .checks import check_number, has_hooks


def run(module: Callable[..., Tensor], with_cp: bool, *inputs: Tensor) -> Tensor:
    """A module's output; with `with_cp`, its activations are computed again in backward."""
    if with_cp and torch.is_grad_enabled() and not torch.jit.is_tracing():
        return checkpoint(module, *inputs, use_reentrant=False)
    return module(*inputs)


def init_matrices(module: nn.Module) -> None:
    """Xavier-uniform for every weight matrix, as DETR; vectors keep their defaults."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)


def is_plain(attention: nn.Module) -> bool:
    """Whether attention is torch's own, with weights and biases in its two matrices alone."""
    return (
        type(attention) is nn.MultiheadAttention
        and attention.in_proj_weight is not None
        and attention.in_proj_bias is not None
        and attention.bias_k is None
        and not attention.add_zero_attn
        and attention.batch_first
        and not has_hooks(attention)
        and not has_hooks(attention.out_proj)
    )


def attend(attention: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`attention(query, key, value, need_weights=False)[0]` in fewer steps.

    The module computes with the sequence first, so that each of its products begins with a copy,
    and adds its bias in a step of its own. All sequences are (B, N, D). Attention of another kind,
    or with hooks, which have to see it called, is called.
    """
    if not is_plain(attention):
        return attention(query, key, value, need_weights=False)[0]
    heads, width = attention.num_heads, attention.embed_dim
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    if query is key:
        (pair_weight, value_weight), (pair_bias, value_bias) = (
            part.split([2 * width, width]) for part in (weight, bias)
        )
        pair = F.linear(query, pair_weight, pair_bias).unflatten(-1, (2, -1))
        projected = [*pair.unbind(2), F.linear(value, value_weight, value_bias)]
    else:
        projected = [
            F.linear(sequence, rows, offset)
            for sequence, rows, offset in zip(
                (query, key, value), weight.chunk(3), bias.chunk(3), strict=True
            )
        ]
    query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in projected)
    dropout = attention.dropout if attention.training else 0.0
    attended = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    return attention.out_proj(attended.transpose(1, 2).flatten(2))


class TransformerLayer(nn.Module):
    """Self-attention, cross-attention to the image, feed-forward; each followed by its norm.

    Positions enter queries and keys only, never values. An encoder layer has no cross-attention.

    Args:
        self_attention: False leaves the self-attention and its norm out (Table VIII).
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        *,
        feedforward_channels: int,
        dropout: float,
        self_attention: bool = True,
        cross_attention: bool = True,
    ) -> None:
        super().__init__()
        for name, size in (
            ("num_heads", num_heads),
            ("feedforward_channels", feedforward_channels),
        ):
            check_number(name, size, 1, whole=True)
        check_number("dropout", dropout, 0, 1)
        if channels % num_heads:
            raise ValueError(
                f"channels must be a multiple of num_heads={num_heads}, got {channels}"
            )
        self.self_attention = self_attention
        self.cross_attention = cross_attention
        if self_attention:
            self.self_attn = nn.MultiheadAttention(channels, num_heads, dropout, batch_first=True)
            self.self_attn_norm = nn.LayerNorm(channels)
        if cross_attention:
            self.cross_attn = nn.MultiheadAttention(channels, num_heads, dropout, batch_first=True)
            self.cross_attn_norm = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, feedforward_channels)
        self.linear2 = nn.Linear(feedforward_channels, channels)
        self.ffn_norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        position: Tensor,
        memory: Tensor | None = None,
        memory_key: Tensor | None = None,
    ) -> Tensor:
        """x and position (B, N, D); memory and memory_key (= memory + position) (B, hw, D)."""
        if self.self_attention:
            query = x + position
            attended = attend(self.self_attn, query, query, x)
            x = self.self_attn_norm(x + self.dropout(attended))
        if self.cross_attention:
            assert memory is not None
            assert memory_key is not None
            attended = attend(self.cross_attn, x + position, memory_key, memory)
            x = self.cross_attn_norm(x + self.dropout(attended))
        # Dropout does not change signs, so it may come first: the result of a ReLU in place is
        # all that backward keeps beside the dropout's mask. (-inf becomes NaN, not 0.)
        hidden = F.relu(self.dropout(self.linear1(x)), inplace=True)
        return self.ffn_norm(x + self.dropout(self.linear2(hidden)))


class TransformerDecoder(nn.Module):
    """Decoder of the transformer module (paper, Section 3.2), with every layer's output.

    One final norm is shared by the outputs of all layers. Weight matrices are initialised
    Xavier-uniform.

    Args:
        num_layers: 1..6 in the paper (Table VIII).
        self_attention: whether the layers have self-attention (Table VIII).
        with_cp: whether to save memory by activation checkpointing, layer by layer.
    """

    def __init__(
        self,
        channels: int = 256,
        *,
        num_layers: int = 6,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        dropout: float = 0.1,
        self_attention: bool = True,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        check_number("num_layers", num_layers, 1, whole=True)
        self.channels = channels
        self.with_cp = with_cp
        self.layers = nn.ModuleList(
            TransformerLayer(
                channels,
                num_heads,
                feedforward_channels=feedforward_channels,
                dropout=dropout,
                self_attention=self_attention,
            )
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(channels)
        init_matrices(self)

    def forward(self, query_pos: Tensor, memory: Tensor, memory_pos: Tensor) -> Tensor:
        """Decode from zero targets.

        Args:
            query_pos: (B, Q, D) query embeddings.
            memory: (B, hw, D) image features.
            memory_pos: (1, hw, D) their positional encoding.

        Returns:
            (L, B, Q, D), normed output of every layer.
        """
        x = query_pos.new_zeros(query_pos.shape)
        memory = memory.contiguous()  # once, not in every layer
        memory_key = memory + memory_pos
        outputs = []
        for layer in self.layers:
            x = run(layer, self.with_cp, x, query_pos, memory, memory_key)
            outputs.append(self.norm(x))
        return torch.stack(outputs)
