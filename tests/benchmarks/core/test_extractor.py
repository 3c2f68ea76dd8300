"""Loading networks: what fills, what is refused, and that features are frozen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.core.extractor import IMAGENET, FeatureExtractor
from benchmarks.core.subject import identity
from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.specs import parse_spec

SPEC = "random:test_resnet?output_stride=8"


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(
        0, 256, (2, 3, 32, 48), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )


def save_ours(
    path: Path, seed: int = 3, drop: str | None = None, target: bool = True
) -> TimmBackbone:
    """Writes a checkpoint as the engine does; target weights are the online ones plus 1."""
    torch.manual_seed(seed)
    backbone = TimmBackbone("test_resnet", output_stride=8)
    state = {f"backbone.{k}": v for k, v in backbone.state_dict().items() if k != drop}
    if target:
        state |= {f"target_backbone.{k}": v + 1 for k, v in backbone.state_dict().items()}
    state["objectives.0.projector.weight"] = torch.zeros(3)
    meta = dict(
        backbone=backbone.config,
        normalisation=dict(mean=[0.5] * 3, std=[0.25] * 3),
        samples_seen=10,
    )
    torch.save(dict(state_dict=state, meta=meta), path)
    return backbone


def test_random_networks_depend_on_their_seed_only(images: torch.Tensor) -> None:
    first = FeatureExtractor.load(SPEC).maps(images)
    torch.rand(5)
    assert torch.equal(first, FeatureExtractor.load(SPEC).maps(images))
    assert not torch.equal(first, FeatureExtractor.load(SPEC + "&seed=1").maps(images))
    before = torch.random.get_rng_state()
    FeatureExtractor.load(SPEC)
    assert torch.equal(before, torch.random.get_rng_state())


def test_networks_of_the_same_weights_are_told_apart() -> None:
    network = "random:vit_tiny_patch16_224?patch_size=8&img_size=32&depth=1&embed_dim=24&num_heads="
    two, three = (FeatureExtractor.load(network + heads).describe() for heads in "23")
    assert two["fingerprint"] == three["fingerprint"] and identity(two) != identity(three)
    assert (
        identity(json.loads(json.dumps(two)))
        == identity(two | dict(spec="another name"))
        == identity(two)
    )
    assert identity(two | dict(mean=(0.5, 0.5, 0.5))) != identity(two)


def test_colours_may_be_stated_for_a_file_that_does_not_know_them(
    images: torch.Tensor, tmp_path: Path
) -> None:
    save_ours(tmp_path / "a.pth")
    own = FeatureExtractor.load(f"{tmp_path}/a.pth")
    stated = FeatureExtractor.load(f"{tmp_path}/a.pth?mean=.1,.2,.3&std=1,.5,.25")
    assert own.mean == (0.5,) * 3 and not own.stated_colours
    assert (stated.mean, stated.std) == ((0.1, 0.2, 0.3), (1.0, 0.5, 0.25))
    assert stated.stated_colours and stated.describe()["mean"] == stated.mean
    assert torch.equal(stated.maps(images), own.coloured(stated.mean, stated.std).maps(images))
    for wrong in ("mean=.5,.5,.5", "mean=.5,.5&std=.5,.5", "mean=.5,.5,.5&std=0,.5,.5", "std=grey"):
        with pytest.raises(ValueError, match="must both be three numbers for RGB"):
            FeatureExtractor.load(f"{SPEC}&{wrong}")


def test_shapes_stride_and_pixel_ranges(images: torch.Tensor) -> None:
    extractor = FeatureExtractor.load(SPEC)
    assert extractor.stride == 8
    maps, vector = extractor.maps(images), extractor.vector(images)
    assert maps.shape == (2, extractor.backbone.info.channels[8], 4, 6)
    assert vector.shape == (2, extractor.backbone.info.vector)
    torch.testing.assert_close(extractor.maps(images.float() / 255), maps, atol=1e-5, rtol=1e-4)
    shallow = FeatureExtractor.load(SPEC + "&map_stride=4")
    assert shallow.stride == 4 and shallow.maps(images).shape[2:] == (8, 12)
    with pytest.raises(ValueError, match=r"found \(3, 32, 48\)"):
        extractor.maps(images[0])


def test_features_are_normalised_inside(images: torch.Tensor) -> None:
    extractor = FeatureExtractor.load(SPEC)
    mean, std = (torch.tensor(IMAGENET[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    with torch.no_grad():
        expected = extractor.backbone((images.float() / 255 - mean) / std).map(8)
    torch.testing.assert_close(extractor.maps(images), expected, atol=1e-5, rtol=1e-4)


def test_frozen_whatever_the_mode(images: torch.Tensor) -> None:
    extractor = FeatureExtractor.load(SPEC)
    before = extractor.maps(images)
    extractor.backbone.train()
    extractor.backbone.model.bn1.eval()
    state = {k: v.clone() for k, v in extractor.backbone.state_dict().items()}
    after = extractor.maps(images)
    assert torch.equal(before, after) and not after.requires_grad
    assert all(torch.equal(v, state[k]) for k, v in extractor.backbone.state_dict().items())
    assert (
        extractor.backbone.training and not extractor.backbone.model.bn1.training
    )  # modes come back one by one


def test_our_checkpoint(images: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "final.pth"
    backbone = save_ours(path).eval()
    extractor = FeatureExtractor.load(str(path))
    assert (extractor.mean, extractor.std) == ((0.5,) * 3, (0.25,) * 3)
    with torch.no_grad():
        expected = backbone((images.float() / 255 - 0.5) / 0.25).map(8)
    torch.testing.assert_close(extractor.maps(images), expected, atol=1e-4, rtol=1e-4)
    described = extractor.describe()
    keys = len(backbone.state_dict())
    assert described["keys"] == dict(loaded=keys, missing=0, unexpected=keys + 1)
    target = FeatureExtractor.load(str(path), weights="target")
    ours = backbone.state_dict()
    assert all(torch.equal(v, ours[k] + 1) for k, v in target.backbone.state_dict().items())
    assert (
        FeatureExtractor.load(f"{path}?weights=target").describe()["fingerprint"]
        == target.describe()["fingerprint"]
    )


def test_a_partly_random_backbone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "final.pth"
    dropped = next(k for k in TimmBackbone("test_resnet").state_dict() if k.endswith("weight"))
    save_ours(path, drop=dropped, target=False)
    with pytest.raises(ValueError, match=rf"would stay random: .* 1 missing \[{dropped}\]"):
        FeatureExtractor.load(str(path))
    with pytest.raises(ValueError, match="no target weights"):
        FeatureExtractor.load(str(path), weights="target")


@pytest.mark.parametrize(
    "wrap",
    [lambda s: s, lambda s: {"state_dict": {f"module.encoder.{k}": v for k, v in s.items()}}],
)
def test_foreign_state_dicts(wrap: Any, images: torch.Tensor, tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    network = torchvision.models.resnet18().eval()
    path = tmp_path / "resnet18.pth"
    torch.save(wrap(network.state_dict()), path)
    extractor = FeatureExtractor.load(f"{path}?backbone=resnet18")
    assert len(extractor.report.unexpected) == 2  # the classifier
    mean, std = (torch.tensor(IMAGENET[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    network.fc = torch.nn.Identity()
    with torch.no_grad():
        expected = network((images.float() / 255 - mean) / std)
    torch.testing.assert_close(extractor.vector(images), expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match=r"would stay random.*Name the architecture"):
        FeatureExtractor.load(f"{path}?backbone=resnet34")
    if wrap(dict(a=1)) == dict(a=1):  # torchvision's own layout says all there is to know
        assert torch.equal(
            FeatureExtractor.load(str(path)).vector(images), extractor.vector(images)
        )
        return
    with pytest.raises(ValueError, match=r"no layout known here.*\?backbone="):
        FeatureExtractor.load(str(path))


def test_upsampler_is_called_with_image_features_and_size(images: torch.Tensor) -> None:
    extractor = FeatureExtractor.load(SPEC)
    seen = []

    class Bilinear:
        def upsample(
            self, image: torch.Tensor, features: torch.Tensor, output_size: tuple[int, int]
        ) -> torch.Tensor:
            seen.append((image.shape, features.shape[2:], output_size))
            return torch.nn.functional.interpolate(features, size=output_size, mode="bilinear")

    extractor.upsampler, extractor.task_stride = Bilinear(), 2
    assert extractor.stride == 2
    assert extractor.maps(images).shape[2:] == (16, 24)
    assert seen == [(images.shape, (4, 6), (16, 24))]
    assert extractor.describe()["upsampler"] == dict(spec="Bilinear", type="Bilinear")


@pytest.mark.parametrize("encode", ["maps", "encode", "vector"])
def test_a_size_that_the_network_refuses_is_a_sentence(encode: str) -> None:
    vit = FeatureExtractor.load("random:test_vit?img_size=32")
    words = (
        r"images of 40 × 64 pixels: test_vit refuses .*multiples of 16, the nearest size is 32 × 64"
    )
    with pytest.raises(ValueError, match=words):
        getattr(vit, encode)(torch.zeros(1, 3, 40, 64))
    assert getattr(vit, encode)(torch.zeros(1, 3, 48, 64)).shape[0] == 1
    fixed = FeatureExtractor.load("random:test_vit?img_size=32&dynamic_img_size=False")
    with pytest.raises(
        ValueError,
        match=r"48 × 48 pixels: .*height \(48\) doesn't match.*\); it was built for 32 × 32",
    ):
        getattr(fixed, encode)(torch.zeros(1, 3, 48, 48))


def test_specs() -> None:
    source, options = parse_spec(
        "random:resnet18?output_stride=8&channels=(8,16)&norm_layer=groupnorm&x=true"
    )
    assert source == "random:resnet18"
    assert options == dict(output_stride=8, channels=(8, 16), norm_layer="groupnorm", x=True)
    for spec, message in (
        ("tim:resnet18", "'tim' is not 'timm' or 'random'"),
        ("random:resnet18?output_stride", "key=value"),
        ("random:resnet81", "did you mean"),
        ("random:test_resnet?weights=best", "must be 'online' or 'target'"),
        ("random:test_resnet?output_stride=8&map_stride=32", "maps at strides"),
    ):
        with pytest.raises(ValueError, match=message):
            FeatureExtractor.load(spec)
    with pytest.raises(FileNotFoundError, match="no checkpoint nowhere.pth"):
        FeatureExtractor.load("nowhere.pth")


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="cannot be read as tensors"):
        FeatureExtractor.load(f"{path}?backbone=test_resnet")
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="holds a list"):
        FeatureExtractor.load(f"{path}?backbone=test_resnet")
