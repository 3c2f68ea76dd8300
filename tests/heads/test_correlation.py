"""Correlation decoders: against loops over exemplars and tokens; what depends on what."""

from __future__ import annotations

import math

import pytest
import torch
from timm.layers import build_sincos2d_pos_embed
from torch import Tensor

from heads.correlation import ConvolutionBlock, CorrelationDecoder, CrossAttentionBlock


def decoder(**options: object) -> CorrelationDecoder:
    """A small decoder in float64 with all parameters drawn, biases and norms too."""
    torch.manual_seed(0)
    built = CorrelationDecoder(12, **{"width": 16, "heads": 4, **options}).double()
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return built


@pytest.fixture
def tokens() -> tuple[Tensor, Tensor, Tensor]:
    """Context (B, D, h, w), exemplars (B, K, D, h', w'), class tokens (B, K, 1, D), float64."""
    draw = torch.Generator().manual_seed(1)
    shapes = (2, 12, 5, 4), (2, 3, 12, 2, 3), (2, 3, 1, 12)
    return tuple(torch.randn(s, generator=draw, dtype=torch.float64) for s in shapes)


def attention_loop(block: CrossAttentionBlock, x: Tensor, z: Tensor) -> Tensor:
    """One image and exemplar, head by head: x (N, W) context tokens, z (M, W)."""
    heads, size = block.heads, x.shape[1] // block.heads
    normed_x, normed_z = block.norm(x), block.norm(z)
    q, k, v = block.query(normed_x), block.key(normed_z), block.value(normed_z)
    parts = []
    for h in range(heads):
        own = slice(h * size, (h + 1) * size)
        weights = (q[:, own] @ k[:, own].T / math.sqrt(size)).softmax(1)
        parts.append(weights @ v[:, own])
    x = x + block.project(torch.cat(parts, 1))
    return x + block.mlp(x)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("joint", [0, 3])
def test_equals_a_loop_with_a_class_token_among_the_queries(
    depth: int, joint: int, tokens: tuple
) -> None:
    """The class token of the context is a query here; its output is dropped, and the other tokens
    never see it.
    """
    context, exemplars, prefix = tokens
    built = decoder(depth=depth, joint=joint)
    scores = built(context, exemplars, prefix)
    table = build_sincos2d_pos_embed([5, 4], 16, dtype=torch.float64)
    for b in range(2):
        embedded = [
            built.embed(torch.cat([prefix[b, k], exemplars[b, k].flatten(1).T]))
            + (built.index[k] if joint else 0)
            for k in range(3)
        ]
        for k in range(3):
            x = built.embed(
                torch.cat([torch.randn(1, 12, dtype=torch.float64), context[b].flatten(1).T])
            )
            x = x + torch.cat([torch.zeros(1, 16), table]) + (built.index[k] if joint else 0)
            z = torch.cat(embedded) if joint else embedded[k]
            for block in built.blocks:
                x = attention_loop(block, x, z)
            expected = built.predict(built.norm(x[1:])).T.unflatten(1, (5, 4))
            assert torch.allclose(scores[b, k], expected, atol=1e-10)


@pytest.mark.parametrize("size", [(2, 3), (3, 2), (4, 4)])
@pytest.mark.parametrize("per_image", [1, 2])
def test_convolution_equals_a_loop_over_places(size: tuple[int, int], per_image: int) -> None:
    torch.manual_seed(0)
    block = ConvolutionBlock(8).double()
    (h, w), (rows, columns) = (5, 4), size
    x = torch.randn(2, per_image, h * w, 8, dtype=torch.float64)
    z = torch.randn(2, 2, rows * columns, 8, dtype=torch.float64)
    q, kernel = (layer(v) for layer, v in ((block.query, x), (block.key, z)))
    expected = torch.zeros(2, 2, h * w, 8, dtype=torch.float64)
    for k in range(2):
        for i in range(h):
            for j in range(w):
                for a in range(rows):
                    for b in range(columns):
                        y, c = i + a - rows // 2, j + b - columns // 2
                        if 0 <= y < h and 0 <= c < w:
                            cell = q[:, k if per_image == 2 else 0, y * w + c]
                            expected[:, k, i * w + j] += cell * kernel[:, k, a * columns + b]
    out = block.correlate(x, z, ((h, w), size))
    assert torch.allclose(out, block.project(expected / math.sqrt(rows * columns)))


def test_exemplars_do_not_see_each_other(tokens: tuple) -> None:
    context, exemplars, prefix = tokens
    built = decoder()
    scores = built(context, exemplars, prefix)
    assert torch.allclose(
        built(context, exemplars[:, [1, 0, 2]], prefix[:, [1, 0, 2]]), scores[:, [1, 0, 2]]
    )
    assert torch.allclose(built(context, exemplars[:, :2], prefix[:, :2]), scores[:, :2])


def test_joint_decoding_sees_every_exemplar_and_needs_all(tokens: tuple) -> None:
    context, exemplars, prefix = tokens
    built = decoder(joint=3)
    changed = exemplars.clone()
    changed[:, 2] += 1
    difference = (
        (built(context, changed, prefix) - built(context, exemplars, prefix))
        .abs()
        .amax((0, 2, 3, 4))
    )
    assert (difference > 1e-6).all()
    with pytest.raises(ValueError, match="joint=3: the batch holds 2 exemplars"):
        built(context, exemplars[:, :2])


def test_without_values_all_exemplars_are_the_same(tokens: tuple) -> None:
    context, exemplars, prefix = tokens
    built = decoder()
    torch.nn.init.zeros_(built.blocks[0].value.weight)
    scores = built(context, exemplars, prefix)
    assert torch.allclose(scores, scores[:, :1].expand_as(scores))


def test_order_of_tokens_matters_for_the_context_only(tokens: tuple) -> None:
    context, exemplars, prefix = tokens
    built = decoder()
    scores = built(context, exemplars, prefix)
    shuffled = exemplars.flatten(3)[..., torch.randperm(6)].view_as(exemplars)
    assert torch.allclose(built(context, shuffled, prefix), scores)
    rolled = built(context.roll(1, 3), exemplars, prefix)
    assert not torch.allclose(rolled, scores.roll(1, 4), atol=1e-3)  # the table stayed where it was


def test_moving_the_table_along_moves_the_map(
    tokens: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    import heads.correlation as module

    context, exemplars, prefix = tokens
    built = decoder()
    scores = built(context, exemplars, prefix)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(2))
    table = build_sincos2d_pos_embed([5, 4], 16, dtype=torch.float64)[order]
    monkeypatch.setattr(module, "build_sincos2d_pos_embed", lambda *_, **__: table)
    moved = built(context.flatten(2)[..., order].view_as(context), exemplars, prefix)
    assert torch.allclose(moved.flatten(3), scores.flatten(3)[..., order])


def test_published_size() -> None:
    with torch.device("meta"):
        built = CorrelationDecoder(768)
    parts = [built.embed, built.blocks, built.norm, built.predict]
    counts = [sum(p.numel() for p in part.parameters()) for part in parts]
    assert counts == [393_728, 3_152_384, 1_024, 1_026]
    assert sum(p.numel() for p in built.parameters()) == 3_548_162


def test_half_precision_is_decoded_in_float32(tokens: tuple) -> None:
    context, exemplars, prefix = (t.bfloat16() for t in tokens)
    built = decoder().float()
    with torch.autocast("cpu", torch.bfloat16):
        scores = built(context, exemplars, prefix)
    assert scores.dtype == torch.float32
    assert torch.allclose(scores, built(context.float(), exemplars.float(), prefix.float()))


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(width=18), "width=18, heads=4"),
        (dict(width=16, heads=3), "heads=3"),
        (dict(depth=0), "depth=0"),
        (dict(joint=-1), "joint=-1"),
        (dict(correlation="conv"), "correlation='conv'"),
        (dict(correlation="convolution", joint=2), "joint=2"),
    ],
)
def test_illegal_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decoder(**options)
