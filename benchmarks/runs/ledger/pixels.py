"""Claims of the papers on pixels and cells: PixPro and PixContrast, CIM, FeatUp."""

from __future__ import annotations

from functools import partial

from benchmarks.runs.ledger.claim import Above, Claim, Paper

_COMPARE = "python tools/compare.py configs/comparisons/{}.py".format
_SCENES = "2,400 generated scenes at 64 px, 0.5 million parameters, {} samples, three seeds".format
_PHOTOS = (
    "2,806 photos of Caltech-101, judged on CamVid at 192 × 256, 0.5 million parameters, 24,000 "
    "samples, three seeds"
)
_scenes = partial(Above, records="scenes", column="retrieval.mIoU")
_photos = partial(Above, records="real", column="retrieval.mIoU")
_drives = partial(Above, records="real", column="other_drives.mIoU")
_every = partial(Above, records="objectives", column="retrieval.mIoU")
_ablation = partial(Above, records="ablation_pixpro", column="retrieval.mIoU", first="PixPro")
_ABLATION = dict(commands=(_COMPARE("ablation_pixpro"),), scale=_SCENES("8,000"))

PIXPRO = Paper(
    title="PixPro and PixContrast",
    cited="Xie et al., Propagate yourself (CVPR 2021), arXiv 2011.10043.",
    claims=(
        Claim(
            claim="PixPro gives better dense features than image-level contrast.",
            place="abstract (1.0 mIoU on Cityscapes above the best instance-level method); tables "
            "of the official README: VOC 58.8 AP against 55.5 to 57.6",
            confirms="dense retrieval with PixPro's features above SimCLR's, on scenes and on "
            "streets, whether or not the memory holds the drive that is scored",
            commands=(_COMPARE("scenes"), _COMPARE("real"), _COMPARE("objectives")),
            scale=f"{_SCENES('20,000')}; {_PHOTOS}",
            tests=(
                _scenes(first="PixPro", second="SimCLR"),
                _photos(first="PixPro", second="SimCLR"),
                _drives(first="PixPro", second="SimCLR"),
                _every(first="PixPro", second="SimCLR"),
            ),
        ),
        Claim(
            claim="PixContrast gives better dense features than image-level contrast.",
            place="the paper's ablation of pixel-level pretext tasks; its numbers UNCONFIRMED",
            confirms="the same for PixContrast",
            commands=(_COMPARE("scenes"), _COMPARE("real"), _COMPARE("objectives")),
            scale=f"{_SCENES('20,000')}; {_PHOTOS}",
            tests=(
                _scenes(first="PixContrast", second="SimCLR"),
                _photos(first="PixContrast", second="SimCLR"),
                _drives(first="PixContrast", second="SimCLR"),
                _every(first="PixContrast", second="SimCLR"),
            ),
        ),
        Claim(
            claim="PixPro is better than PixContrast.",
            place="the paper's comparison of its two pretext tasks; numbers UNCONFIRMED. A "
            "re-implementation reports VOC 54.1 AP against 52.2",
            confirms="dense retrieval with PixPro's features above PixContrast's",
            commands=(_COMPARE("scenes"), _COMPARE("real"), _COMPARE("objectives")),
            scale=f"{_SCENES('20,000')}; {_PHOTOS}",
            tests=(
                _scenes(first="PixPro", second="PixContrast"),
                _photos(first="PixPro", second="PixContrast"),
                _drives(first="PixPro", second="PixContrast"),
                _every(first="PixPro", second="PixContrast"),
            ),
        ),
        Claim(
            claim="Pixel propagation is better than comparing projections as they are.",
            place="the paper's ablation with and without its propagation module; numbers "
            "UNCONFIRMED",
            confirms="dense retrieval of PixPro above PixPro without propagation",
            **_ABLATION,
            tests=(_ablation(second="PixPro+propagation=without"),),
        ),
        Claim(
            claim="Cells match best within 0.7 of their diagonal.",
            place="the paper's ablation of T, as re-implementers state it; numbers UNCONFIRMED",
            confirms="dense retrieval with 0.7 above half and twice of it",
            **_ABLATION,
            tests=(
                _ablation(second="PixPro+pos_radius_diag=0.35"),
                _ablation(second="PixPro+pos_radius_diag=1.4"),
            ),
        ),
        Claim(
            claim="The similarity of propagation is sharpest to the point with γ = 2.",
            place="the paper's ablation of γ, as re-implementers state it; numbers UNCONFIRMED",
            confirms="dense retrieval with γ = 2 above 1 and 4",
            **_ABLATION,
            tests=(
                _ablation(second="PixPro+gamma=1.0"),
                _ablation(second="PixPro+gamma=4.0"),
            ),
        ),
        Claim(
            claim="One linear layer in the propagation is better than none and than two.",
            place="the paper's ablation of l, as re-implementers state it; numbers UNCONFIRMED",
            confirms="dense retrieval with one layer above none and two",
            **_ABLATION,
            tests=(
                _ablation(second="PixPro+layers=0"),
                _ablation(second="PixPro+layers=2"),
            ),
        ),
        Claim(
            claim="An instance branch beside the pixels helps detection and segmentation.",
            place="official README: COCO with FPN 41.3 box AP with the branch, 40.8 without (100 "
            "epochs)",
            confirms="dense retrieval with the branch above PixPro alone",
            **_ABLATION,
            tests=(
                Above(
                    records="ablation_pixpro",
                    column="retrieval.mIoU",
                    first="PixPro+instance_branch=pooled",
                    second="PixPro",
                ),
            ),
        ),
        Claim(
            claim="Pixel-level pretraining helps when the whole network is fine-tuned.",
            place="official README: VOC 33.8 AP from scratch, 58.8 after PixPro; COCO 32.8 and "
            "40.8",
            confirms="segmentation and detection after PixContrast above the untrained network",
            commands=(_COMPARE("transfer_scenes"), _COMPARE("transfer_real")),
            scale=f"{_SCENES('20,000')}, then FCN and Mask R-CNN; {_PHOTOS}, then FCN on 41 images "
            "and Faster R-CNN on 205",
            tests=(
                Above(
                    records="transfer_scenes",
                    column="segmentation.mIoU",
                    first="PixContrast",
                    second="untrained",
                ),
                Above(
                    records="transfer_scenes",
                    column="detection.box_AP",
                    first="PixContrast",
                    second="untrained",
                ),
                Above(
                    records="transfer_real",
                    column="segmentation.mIoU",
                    first="PixContrast",
                    second="random",
                ),
                Above(
                    records="transfer_real",
                    column="detection.box_AP",
                    first="PixContrast",
                    second="random",
                ),
            ),
        ),
        Claim(
            claim="PixPro of 100 epochs reaches 58.8 AP on PASCAL VOC and 40.8 box AP on COCO.",
            place="official README",
            confirms="the recipe and the transfer recipes, within the spread of seeds",
            commands=("bash tools/dist_train.sh configs/imagenet/pixpro_r50_100e.py 8",),
            scale="ImageNet, a ResNet-50, batch 1024",
            needs="ImageNet, VOC, COCO and eight GPUs for two to three days",
        ),
    ),
)

_cim = partial(Above, records="ablation_cim", column="retrieval.mIoU", first="CIM")
_families = partial(Above, records="families", column="retrieval.mIoU", first="CIM")
_CIM = dict(commands=(_COMPARE("ablation_cim"),), scale=_SCENES("8,000"))
_DIRECTION = "a summary of the paper's ablation; numbers UNCONFIRMED"

CIM = Paper(
    title="CIM",
    cited="Li, Xie, Loy, Correlational image modeling (CVPR 2023), arXiv 2303.12670.",
    claims=(
        Claim(
            claim="On a ViT, CIM is on par with masked image modelling or better.",
            place="abstract, as summarised; tables UNCONFIRMED",
            confirms="dense retrieval of a ViT with CIM not more than one point below SimMIM",
            commands=(_COMPARE("families"),),
            scale=_SCENES("12,000") + ", a ViT of 4 blocks",
            tests=(_families(second="SimMIM", margin=-1.0),),
        ),
        Claim(
            claim="On a ViT, CIM is on par with multi-view learning or better.",
            place="abstract, as summarised; tables UNCONFIRMED",
            confirms="dense retrieval of a ViT with CIM not more than one point below SimCLR",
            commands=(_COMPARE("families"),),
            scale=_SCENES("12,000") + ", a ViT of 4 blocks",
            tests=(_families(second="SimCLR", margin=-1.0),),
        ),
        Claim(
            claim="CIM works on a ResNet, where masking does not come naturally.",
            place="the paper reports a ResNet-50; numbers UNCONFIRMED, the released code has none",
            confirms="dense retrieval of a ResNet with CIM above SimMIM and the untrained network",
            commands=(_COMPARE("objectives"),),
            scale=_SCENES("12,000"),
            tests=(
                _every(first="CIM", second="SimMIM"),
                _every(first="CIM", second="untrained"),
            ),
        ),
        Claim(
            claim="Turning the exemplars helps.",
            place=_DIRECTION,
            confirms="dense retrieval with turned exemplars above upright ones",
            **_CIM,
            tests=(_cim(second="CIM+rotation=0"),),
        ),
        Claim(
            claim="Exemplars of many sizes help.",
            place=_DIRECTION,
            confirms="dense retrieval with sizes of 5 to 48 % of the area above one size",
            **_CIM,
            tests=(_cim(second="CIM+scale=one"),),
        ),
        Claim(
            claim="Cross-attention correlates better than a convolution.",
            place=_DIRECTION,
            confirms="dense retrieval with cross-attention above a convolution with the exemplar",
            **_CIM,
            tests=(_cim(second="CIM+correlation=convolution"),),
        ),
        Claim(
            claim="Training on exemplars against a slow network on contexts is the better side.",
            place=_DIRECTION,
            confirms="dense retrieval of the paper's direction above the reverse one, and not more "
            "than one point below one network on both sides",
            **_CIM,
            tests=(
                _cim(second="CIM+update=context"),
                _cim(second="CIM+update=both", margin=-1.0),
            ),
        ),
        Claim(
            claim="CIM of 300 epochs gives ViT-B/16 83.1 % top-1 on ImageNet after fine-tuning.",
            place="official README (released model)",
            confirms="recipe and fine-tuning recipe, within the spread of seeds",
            commands=("bash tools/dist_train.sh configs/imagenet/cim_vitb16_300e.py 8",),
            scale="ImageNet, ViT-B/16, batch 4096",
            needs="ImageNet and eight GPUs of 80 GB for several days",
        ),
    ),
)

_UPSAMPLED = dict(
    place="FeatUp's table 1, UNCONFIRMED (recalled). Others measured gains of −3.3 to +2.5 mIoU "
    "over bilinear on DINOv2 features, and small ones in depth (JAFAR, AnyUp, LoftUp)",
    scale="three PixContrast networks of configs/comparisons/real.py, a stack trained for each on "
    "its photos; docs/results.md has a network taught by ImageNet, where the stack is not below "
    "bilinear or a blur",
)
_TRAINED = (
    "python tools/train_upsampler.py work_dirs/real/PixContrast/seed_N/pretrain/final.pth "
    "--data data/real/caltech101/train --size 96 --work-dir work_dirs/upsamplers/jbu_N"
)
_MEASURED = (
    "python tools/evaluate.py work_dirs/real/PixContrast/seed_N/pretrain/final.pth "
    "--upsampler jbu:work_dirs/upsamplers/jbu_N/final.pth --out upsamplers.jsonl {}"
).format
_BLUR = "blur?sigma=1.5"
_PROBED = _MEASURED(
    f'"{_BLUR}" --benchmark probe --data camvid:data/real/camvid --set probe.size=192,256'
)
_DEPTH_PROBED = _MEASURED(
    f'"{_BLUR}" --benchmark depth_probe --data scenes:data/scenes --set depth_probe.size=96,96'
)
_jbu = partial(Above, records="upsamplers", first="jbu", second="bilinear")

FEATUP = Paper(
    title="FeatUp",
    cited="Fu et al., FeatUp: a model-agnostic framework for features at any resolution (ICLR "
    "2024), arXiv 2403.10516.",
    claims=(
        Claim(
            claim="Upsampled by FeatUp's stack, features give a better segmentation probe than "
            "bilinear ones.",
            confirms="mIoU of a linear probe of pixels above bilinear, network by network",
            commands=(_TRAINED, _PROBED),
            **_UPSAMPLED,
            tests=(_jbu(column="probe.mIoU"),),
        ),
        Claim(
            claim="Upsampled by FeatUp's stack, features give a better depth probe than bilinear "
            "ones.",
            confirms="RMSE of a linear probe of depth below bilinear, network by network",
            commands=(_TRAINED, _DEPTH_PROBED),
            **_UPSAMPLED,
            tests=(_jbu(column="depth_probe.RMSE"),),
        ),
        Claim(
            claim="Upsampled by FeatUp's stack, class activation maps show better what a "
            "classifier goes by.",
            confirms="average drop below bilinear and average increase above it",
            commands=(
                _TRAINED,
                _MEASURED("--benchmark cam --data classes:data/real/caltech101 --set cam.size=112"),
            ),
            **_UPSAMPLED,
            tests=(_jbu(column="cam.average_drop"), _jbu(column="cam.average_increase")),
        ),
        Claim(
            claim="The upsampler finds edges: it gains more than blurring does.",
            place="implied by the paper's method; our control",
            confirms="linear probes of classes and of depth better than behind a Gaussian blur of "
            "bilinear",
            commands=(_TRAINED, _PROBED, _DEPTH_PROBED),
            scale=_UPSAMPLED["scale"],
            tests=(
                _jbu(column="probe.mIoU", second=_BLUR),
                _jbu(column="depth_probe.RMSE", second=_BLUR),
            ),
        ),
    ),
)
