"""What of a network is read: against timm's own calls, and against the definitions."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from benchmarks.analysis.stages import stage_outputs
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.features import FeatureSettings
from benchmarks.core.subject import identity
from benchmarks.frozen.decoder.network import make_network
from benchmarks.frozen.decoder.settings import Settings
from pretrain.backbones.positions import factor_positions

VIT = "random:vit_tiny_patch16_224?depth=3&embed_dim=24&num_heads=2&img_size=64"
DINOV3 = "random:vit_tiny_patch16_dinov3_qkvb?depth=2&embed_dim=48&num_heads=2"
EVA = "random:eva02_tiny_patch14_224?depth=2&embed_dim=24&num_heads=2&img_size=56"
CONVNEXT = "random:convnext_tiny?depths=(1, 1, 1, 1)&dims=(8, 12, 16, 24)"


@pytest.fixture(scope="module")
def networks() -> dict[str, FeatureExtractor]:
    """Small networks whose norms are not the identity."""
    extractors = {spec: FeatureExtractor.load(spec) for spec in (VIT, DINOV3, EVA, CONVNEXT)}
    generator = torch.Generator().manual_seed(0)
    for extractor in extractors.values():
        for name, parameter in extractor.backbone.named_parameters():
            if "norm" in name:
                with torch.no_grad():
                    parameter.add_(torch.rand(parameter.shape, generator=generator))
    return extractors


def images(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 3, height, width), generator=generator, dtype=torch.uint8)


def intermediates(extractor: FeatureExtractor, pixels: torch.Tensor, **options: Any) -> Any:
    """Timm's own answer to normalised images."""
    with torch.no_grad():
        return extractor.backbone.model.forward_intermediates(
            extractor.normalise(pixels), intermediates_only=True, **options
        )


def test_default_settings_read_what_the_network_itself_gives(
    networks: dict[str, FeatureExtractor],
) -> None:
    plain = networks[VIT]
    read = plain.reading(FeatureSettings())
    pixels = images(64, 96)
    assert read.backbone is plain.backbone and read.stride == 16 and read.channels == 24
    torch.testing.assert_close(read.maps(pixels), plain.maps(pixels), atol=1e-6, rtol=1e-6)
    assert torch.equal(read.vector(pixels), plain.vector(pixels))
    assert plain.feature_settings is None and "features" not in plain.describe()


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("class_token", ["none", "concatenate"])
def test_layers_of_a_vit_equal_timms(
    networks: dict[str, FeatureExtractor], norm: bool, class_token: str
) -> None:
    plain = networks[VIT]
    settings = FeatureSettings((0, -1), norm=norm, class_token=class_token)
    read, pixels = plain.reading(settings), images(64, 96)
    parts = []
    for features, prefix in intermediates(
        plain, pixels, indices=[0, 2], norm=norm, return_prefix_tokens=True
    ):
        parts.append(features)
        if class_token == "concatenate":
            parts.append(prefix[:, 0, :, None, None].expand(-1, -1, 4, 6))
    expected = torch.cat(parts, 1)
    assert read.channels == expected.shape[1]
    torch.testing.assert_close(read.maps(pixels), expected, atol=1e-5, rtol=1e-5)


def test_the_class_token_is_the_first_of_dinov3s_prefix_tokens(
    networks: dict[str, FeatureExtractor],
) -> None:
    plain, pixels = networks[DINOV3], images(32, 48)
    ((features, prefix),) = intermediates(
        plain, pixels, indices=[1], norm=True, return_prefix_tokens=True
    )
    read = plain.reading(FeatureSettings(vector="class_token"))
    torch.testing.assert_close(read.vector(pixels), prefix[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(read.maps(pixels), features, atol=1e-5, rtol=1e-5)
    # timm's own vector is the mean of the patches.
    expected = features.flatten(2).mean(2)
    torch.testing.assert_close(plain.vector(pixels), expected, atol=1e-5, rtol=1e-5)


def test_a_norm_behind_the_pooling_is_brought_to_the_map(
    networks: dict[str, FeatureExtractor],
) -> None:
    pixels = images(56, 84)
    eva = networks[EVA]
    (raw,) = intermediates(eva, pixels, indices=[1], norm=True)
    assert torch.equal(eva.maps(pixels), raw)  # timm's norm=True does nothing to it
    expected = eva.backbone.model.fc_norm(raw.movedim(1, -1)).movedim(-1, 1)
    normed = eva.reading(FeatureSettings()).maps(pixels)
    torch.testing.assert_close(normed, expected, atol=1e-6, rtol=1e-6)
    assert torch.equal(eva.reading(FeatureSettings(norm=False)).maps(pixels), raw)


def test_convnexts_are_resized_before_their_norm(networks: dict[str, FeatureExtractor]) -> None:
    plain, pixels = networks[CONVNEXT], images(64, 96)
    (raw,) = intermediates(plain, pixels, indices=[3])
    norm = plain.backbone.model.head.norm
    normed = plain.reading(FeatureSettings())
    assert normed.stride == 32
    torch.testing.assert_close(normed.maps(pixels), norm(raw), atol=1e-6, rtol=1e-6)
    finer = plain.reading(FeatureSettings(stride=16))
    expected = norm(F.interpolate(raw, (4, 6), mode="bilinear", antialias=True))
    assert finer.stride == 16 and finer.cells((64, 96)).grid == (4, 6)
    torch.testing.assert_close(finer.maps(pixels), expected, atol=1e-6, rtol=1e-6)
    # Earlier stages have no norm of their own.
    both = plain.reading(FeatureSettings((2, 3), stride=16)).maps(pixels)
    assert both.shape == (2, 16 + 24, 4, 6)
    assert torch.equal(both[:, :16], intermediates(plain, pixels, indices=[2])[0])


def test_positions_by_the_factor(networks: dict[str, FeatureExtractor]) -> None:
    plain, pixels = networks[VIT], images(96, 80)
    read = plain.reading(FeatureSettings(positions="factor"))
    with factor_positions(plain.backbone.model):
        expected = plain.maps(pixels), plain.vector(pixels)
    assert torch.equal(read.maps(pixels), expected[0])
    assert torch.equal(read.vector(pixels), expected[1])
    assert not torch.allclose(plain.maps(pixels), expected[0])
    with pytest.raises(ValueError, match="positions='factor': vit_tiny_patch16_dinov3_qkvb is no"):
        networks[DINOV3].reading(FeatureSettings(positions="factor"))


@pytest.mark.parametrize(
    "side, before, total", [(512, 3, 6), (513, 2, 5), (480, 5, 10), (640, 2, 4), (544, 1, 2)]
)
def test_centre_padding_to_14(
    networks: dict[str, FeatureExtractor], side: int, before: int, total: int
) -> None:
    cells = networks[EVA].reading(FeatureSettings(pad="centre")).cells((side, 56))
    assert cells.before == (before, 0) and cells.padded == (side + total, 56)
    assert cells.grid == ((side + total) // 14, 4)


@pytest.mark.parametrize("pad, above", [("corner", (0, 0)), ("centre", (5, 1))])
def test_padding_is_zeros_after_normalisation(
    networks: dict[str, FeatureExtractor], pad: str, above: tuple[int, int]
) -> None:
    read, pixels = networks[VIT].reading(FeatureSettings(pad=pad)), images(101, 141)
    cells = read.cells((101, 141))
    assert cells.before == above and cells.grid == (7, 9) and cells.padded == (112, 144)
    canvas = torch.zeros(2, 3, 112, 144)
    place = slice(above[0], above[0] + 101), slice(above[1], above[1] + 141)
    canvas[..., place[0], place[1]] = read.normalise(pixels)
    whole = networks[VIT].reading(FeatureSettings()).features(canvas)
    assert torch.equal(read.maps(pixels), whole)
    assert read.vector(pixels).shape == (2, 24)


def test_cells_whose_centre_is_not_on_the_image_are_padding(
    networks: dict[str, FeatureExtractor],
) -> None:
    plain = networks[VIT]
    corner = plain.reading(FeatureSettings(pad="corner"))
    # 101 = 6 · 16 + 5, the last row's centre is at 104; 140 = 8 · 16 + 12, the last column's at
    # 136.
    marked = torch.zeros(7, 9, dtype=torch.bool)
    marked[6] = True
    assert torch.equal(corner.cells((101, 140)).padding(), marked)
    rows, columns = corner.cells((101, 140)).centres()
    assert rows[6] == 104 and columns[8] == 136
    # 98 = 6 · 16 + 2: 7 pixels above and 7 below, no centre leaves the image.
    centre = plain.reading(FeatureSettings(pad="centre")).cells((98, 98))
    assert centre.before == (7, 7) and not centre.padding().any() and centre.centres()[0][0] == 1
    assert not plain.cells((64, 96)).padding().any() and plain.cells((64, 96)).grid == (4, 6)


def test_a_reading_names_itself(networks: dict[str, FeatureExtractor]) -> None:
    plain = networks[VIT]
    read = plain.reading(FeatureSettings([1, 2], class_token="concatenate"))
    described = json.loads(json.dumps(read.describe()))
    assert described["features"]["layers"] == [1, 2] and described["map_channels"] == 96
    assert identity(described) != identity(plain.describe())
    assert described["fingerprint"] == plain.describe()["fingerprint"]


def test_an_upsampler_stays_and_refuses_padding(networks: dict[str, FeatureExtractor]) -> None:
    class Nearest:
        def upsample(self, image: torch.Tensor, features: torch.Tensor, size: Any) -> torch.Tensor:
            return F.interpolate(features, size)

    behind = networks[VIT].through(Nearest(), 8).reading(FeatureSettings((0, 1), pad="corner"))
    assert behind.stride == 8 and behind.maps(images(64, 96)).shape == (2, 48, 8, 12)
    with pytest.raises(ValueError, match=r"101 × 141 pixels are padded \(pad='corner'\)"):
        behind.maps(images(101, 141))


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(layers=()), r"layers=\(\) must be one or more whole numbers"),
        (dict(layers=3), "layers=3 must be"),
        (dict(layers=(True,)), r"layers=\(True,\) must be"),
        (dict(norm=1), "norm=1 must be True or False"),
        (dict(class_token="concat"), "class_token='concat' is not one of .*did you mean"),
        (dict(positions="size"), "positions='size' is not one of timm, factor"),
        (dict(pad="center"), "pad='center' is not one of .*did you mean 'centre'"),
        (dict(vector="cls"), "vector='cls' is not one of timm, class_token"),
        (dict(stride=0), "stride=0 must be a whole number of pixels"),
    ],
)
def test_illegal_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureSettings(**options)


@pytest.mark.parametrize(
    "spec, options, message",
    [
        (VIT, dict(layers=(0, 3)), r"layers=\(0, 3\): vit_tiny_patch16_224 has layers 0 to 2"),
        (VIT, dict(layers=(2, 0)), "name each layer of vit_tiny_patch16_224 once, from the first"),
        (VIT, dict(layers=(2, -1)), "name each layer .* once"),
        (CONVNEXT, dict(layers=(2, 3)), r"convnext_tiny have strides \[16, 32\]; bring them"),
        (CONVNEXT, dict(class_token="concatenate"), "convnext_tiny has no class token"),
        (CONVNEXT, dict(vector="class_token"), "vector='class_token': convnext_tiny has no"),
        ("random:test_resnet", {}, "norm=True: timm keeps no norm of test_resnet .* norm=False"),
        (CONVNEXT + "&map_stride=8", {}, "map_stride=8 and layers=.* both choose a map"),
    ],
)
def test_what_a_network_does_not_have(spec: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureExtractor.load(spec).reading(FeatureSettings(**options))


def test_sizes_that_are_not_whole_patches(networks: dict[str, FeatureExtractor]) -> None:
    message = r"101 × 141 pixels: vit_tiny_patch16_224 takes multiples of 16, the nearest is 96 × "
    read = networks[VIT].reading(FeatureSettings())
    for encode in (read.maps, read.vector):
        with pytest.raises(ValueError, match=message + r"144; .* pad='corner' or pad='centre'"):
            encode(images(101, 141))
    # Networks of stages answer without an error, each by its own rule of rounding.
    with pytest.raises(ValueError, match="convnext_tiny takes multiples of 32, .* 192 × 288"):
        networks[CONVNEXT].reading(FeatureSettings()).maps(images(197, 285))


def test_readers_of_the_whole_network_refuse_what_they_would_pass_over(
    networks: dict[str, FeatureExtractor],
) -> None:
    read = networks[VIT].reading(FeatureSettings((0, 1)))
    with pytest.raises(ValueError, match="the decoder reads the network's own stages: layers"):
        make_network(read, 3, Settings())
    with pytest.raises(ValueError, match="the analysis of stages reads the network's own stages"):
        stage_outputs(read, images(64, 64))


def test_maps_without_a_known_place_are_refused() -> None:
    """timm states strides 12 and 17 for CrossViT, whose maps have 14 × 14 cells at every size."""
    crossvit = FeatureExtractor.load("random:crossvit_tiny_240")
    read = crossvit.reading(FeatureSettings(norm=False, pad="corner"))
    with pytest.raises(
        ValueError, match="maps of 14 × 14 cells where its stride 17 promises 15 × "
    ):
        read.maps(images(240, 240))


def test_radios_plain_vits_follow_its_rule_at_one_size() -> None:
    small = "depth=1&embed_dim=24&num_heads=2"
    read = FeatureExtractor.load(f"random:vit_base_patch16_radio_v3?{small}")
    read = read.reading(FeatureSettings(norm=False))
    message = r"512 × 512 alone; take naflexvit_base_patch16_radio_v3, or .*\?img_size=\(64, 96\)"
    with pytest.raises(ValueError, match=message):
        read.maps(images(64, 96))
    for spec in (
        f"random:vit_base_patch16_radio_v3?{small}&img_size=(64, 96)",
        f"random:naflexvit_base_patch16_radio_v3?{small}",
    ):
        built = FeatureExtractor.load(spec).reading(FeatureSettings(norm=False))
        assert built.maps(images(64, 96)).shape == (2, 24, 4, 6)
