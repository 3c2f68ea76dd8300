"""Claims of the papers on what transfers, random labels and invariances."""

from __future__ import annotations

from functools import partial

from benchmarks.runs.ledger.claim import Above, Claim, Halves, Larger, Paper

_COMPARE = "python tools/compare.py configs/comparisons/{}.py".format
_WHY = dict(
    commands=(_COMPARE("why"),),
    scale="pretrained on 2,806 photos of Caltech-101, fine-tuned on a quarter of them at 32 px; "
    "0.5 million parameters, 24,000 samples, three seeds",
)
#: The arms of configs/comparisons/why.py that were pretrained.
_PRETRAINED = ("SimCLR", "PixContrast", "PixPro", "SupCon", "CIM")
_each = partial(Larger, records="why")

TRANSFER = Paper(
    title="What is being transferred",
    cited="Neyshabur, Sedghi, Zhang, What is being transferred in transfer learning? (NeurIPS "
    "2020), arXiv 2008.11687.",
    claims=(
        Claim(
            claim="Pretraining helps even where blocks of the image are shuffled.",
            place="figure 3: relative drops of 9 to 91 % without pretraining, at every block size",
            confirms="accuracy after fine-tuning on shuffled photos above that of random weights, "
            "at blocks of 8 and of 2 px",
            **_WHY,
            tests=(
                _each(arms=_PRETRAINED, column="blocks_8.relative_drop", than=0.0),
                _each(arms=_PRETRAINED, column="blocks_2.relative_drop", than=0.0),
            ),
        ),
        Claim(
            claim="Pretraining speeds up training even where features are of no use.",
            place="figures 3 and 7: mean training accuracy 78 against 2 at single pixels",
            confirms="optimisation speed on shuffled photos above that of random weights",
            **_WHY,
            tests=(
                _each(arms=_PRETRAINED, column="blocks_8.speed", than="random_speed"),
                _each(arms=_PRETRAINED, column="blocks_2.speed", than="random_speed"),
            ),
        ),
        Claim(
            claim="Two fine-tunings of one pretrained network lie in one basin; two random starts "
            "do not.",
            place="figures 4 and 16: no barrier between pretrained ones, accuracy falls to 0.5 % "
            "between random ones",
            confirms="the barrier between fine-tunings of a network below that between random "
            "starts, and below 0.1 nats",
            **_WHY,
            tests=(
                _each(
                    arms=_PRETRAINED, column="barrier.barrier", than="random_barrier", smaller=True
                ),
                _each(arms=_PRETRAINED, column="barrier.barrier", than=0.1, smaller=True),
            ),
        ),
        Claim(
            claim="Lower modules are less critical than higher ones.",
            place="section on module criticality, figure 5",
            confirms="μ of the lower half of the modules, on average, below that of the upper half",
            **_WHY,
            tests=(
                Halves(
                    records="why",
                    arms=_PRETRAINED,
                    benchmark="criticality",
                    table="per_module",
                    key="direct",
                    without=("head",),
                ),
            ),
        ),
        Claim(
            claim="A pretrained network's modules can be put back to their start, a random one's "
            "cannot.",
            place="figure 5: rewinding costs the pretrained at most 0.04 AUC but for the "
            "classifier, the other up to 0.2",
            confirms="accuracy lost by rewinding a module smaller after pretraining than from a "
            "random start",
            **_WHY,
            tests=(
                Above(
                    records="why",
                    column="criticality.rewind_drop",
                    first="SimCLR",
                    second="random",
                ),
                Above(
                    records="why",
                    column="criticality.rewind_drop",
                    first="PixPro",
                    second="random",
                ),
            ),
        ),
        Claim(
            claim="Networks move less from a pretrained start than from a random one.",
            place="table 2: distances 157 to 237 against 785 to 812 (pretrained network as origin)",
            confirms="distance between two fine-tunings of a network below that of two random "
            "starts",
            **_WHY,
            tests=(
                Larger(
                    records="why",
                    arms=_PRETRAINED,
                    column="barrier.apart",
                    than="random_apart",
                    smaller=True,
                ),
            ),
        ),
    ),
)

_gauss = partial(Larger, records="gaussian_labels", arms=("small",))
_GAUSS = dict(
    commands=("python -m benchmarks.analysis.gaussian_labels --seeds 0 1 2 3 4 5 6 7 --out FILE",),
    scale="Gaussian inputs of 10 dimensions, 512 points, a ReLU network 256-64, eight seeds",
)

_ONWARD = dict(
    commands=(_COMPARE("random_label_transfer"),),
    scale="random labels of 480 generated scenes in 50 classes at 32 px, then objects of other "
    "scenes; 24,000 samples, networks of two widths without normalisation, three seeds",
)
_onward = partial(Above, records="random_label_transfer", first="wide", second="narrow")
_first_layer = partial(Larger, records="random_labels", arms=("random_labels",))

RANDOM_LABELS = Paper(
    title="Random labels",
    cited="Maennel et al., What do neural networks learn when trained with random labels? "
    "(NeurIPS 2020), arXiv 2006.10455.",
    claims=(
        Claim(
            claim="Trained on random labels, the first layer aligns with its inputs.",
            place="figure 2; its values UNCONFIRMED",
            confirms="misalignment in the inputs' own basis below that in random bases",
            **_GAUSS,
            tests=(
                _gauss(column="gaussian_labels.misalignment", than="random_basis", smaller=True),
            ),
        ),
        Claim(
            claim="The transfer function f(σ) rises, then falls.",
            place="figures 4 and 20",
            confirms="f at the middle σ, as a multiple of f before training, above that at the "
            "smallest fifth and at the largest fifth",
            **_GAUSS,
            tests=(
                _gauss(column="gaussian_labels.rise", than=0.0),
                _gauss(column="gaussian_labels.fall", than=0.0),
            ),
        ),
        Claim(
            claim="Networks trained on photos align with them, too.",
            place="figures 2 and 4, CIFAR-10",
            confirms="misalignment of the first layer below that in random bases, whatever the "
            "objective",
            **_WHY,
            tests=(
                _each(
                    arms=_PRETRAINED,
                    column="alignment.misalignment",
                    than="random_basis",
                    smaller=True,
                ),
            ),
        ),
        Claim(
            claim="Pretraining on random labels helps what follows.",
            place="figure 1, positive transfer",
            confirms="dense retrieval after random labels above the untrained network; we test "
            "frozen features, the paper further training",
            commands=(_COMPARE("objectives"), _COMPARE("random_labels")),
            scale="480 of 2,400 generated scenes at 64 px, 12,000 and 24,000 samples, three seeds",
            tests=(
                Above(
                    records="objectives",
                    column="retrieval.mIoU",
                    first="random_labels",
                    second="untrained",
                ),
                Above(
                    records="random_labels",
                    column="retrieval.mIoU",
                    first="random_labels",
                    second="untrained",
                ),
            ),
        ),
        Claim(
            claim="Filters drawn from the covariance of trained ones help a new training, not only "
            "the filters themselves.",
            place="figure 5: training accuracy at 1,000 steps .73 drawn, .74 trained, .635 from "
            "scratch; a course project could not repeat it",
            confirms="training accuracy, on average over the epochs, above that from scratch for "
            "drawn and for trained filters of the first layer, after random labels",
            commands=(_COMPARE("random_labels"),),
            scale="480 generated scenes learnt by heart, then every fourth cut-out object; 24,000 "
            "samples, three seeds",
            tests=(
                _first_layer(column="aligned_start.drawn_gain", than=0.0),
                _first_layer(column="aligned_start.trained_gain", than=0.0),
            ),
        ),
        Claim(
            claim="Learning random labels of many classes harms what is learnt next, and wider "
            "late layers heal it.",
            place="figure 1, negative transfer (VGG16, CIFAR-10, 50 classes); settings as a course "
            "project reads them",
            confirms="optimisation speed after random labels below that from scratch for the "
            "narrow network, and the loss smaller for the wide one",
            **_ONWARD,
            tests=(
                Larger(
                    records="random_label_transfer",
                    arms=("narrow",),
                    column="transfer.trained_gain",
                    than=0.0,
                    smaller=True,
                ),
                _onward(column="transfer.trained_gain"),
            ),
        ),
        Claim(
            claim="Behind the harm are units of late layers that are silent on the new images.",
            place="figure 1 and what is said of it",
            confirms="more dead units in the last layer after random labels than in the untrained "
            "network, and fewer in the wide network than in the narrow one",
            **_ONWARD,
            tests=(
                Above(
                    records="random_label_transfer",
                    column="dead_units.dead_last",
                    first="narrow_untrained",
                    second="narrow",
                ),
                _onward(column="dead_units.dead_last"),
            ),
        ),
    ),
)

_INVARIANT = dict(
    commands=(_COMPARE("why"),),
    scale="sets of generated scenes in which one factor varies; networks of Caltech-101, 12,000 "
    "samples, three seeds",
)
_PLACE = "the paper's table of invariances, as reviews quote it; most cells UNCONFIRMED"

INVARIANCES = Paper(
    title="Invariances of contrast",
    cited="Purushwalkam and Gupta, Demystifying contrastive self-supervised learning (NeurIPS "
    "2020), arXiv 2007.13916.",
    claims=(
        Claim(
            claim="Contrast makes features invariant to occlusion, more than labels do.",
            place="MoCo v2 and PIRL about 84, supervised 80.9, as a review quotes them",
            confirms="firing score under occlusion of SimCLR above SupCon's and above that of "
            "permuted sets",
            **_INVARIANT,
            tests=(
                Above(
                    records="why",
                    column="invariances.occlusion_top10",
                    first="SimCLR",
                    second="SupCon",
                ),
                _each(
                    arms=("SimCLR",),
                    column="invariances.occlusion_top10",
                    than="occlusion_top10_floor",
                ),
            ),
        ),
        Claim(
            claim="To the viewpoint they are less invariant than features learnt from labels.",
            place=_PLACE,
            confirms="firing score under changes of viewpoint of SupCon above SimCLR's",
            **_INVARIANT,
            tests=(
                Above(
                    records="why",
                    column="invariances.viewpoint_top10",
                    first="SupCon",
                    second="SimCLR",
                ),
            ),
        ),
        Claim(
            claim="Images of single objects flatter contrast: trained on boxes, it recognises "
            "boxes better than trained on whole scenes.",
            place="mean AP on cropped boxes 75.3 against 71.9 (MoCo v2 on COCO), as a review "
            "quotes it",
            confirms="kNN of objects cut out with SimCLR on boxes above SimCLR on whole images; on "
            "whole scenes the other way round",
            commands=(_COMPARE("boxes"),),
            scale="2,400 generated scenes or 2,400 boxes at 64 px, 20,000 samples, three seeds",
            tests=(
                Above(
                    records="boxes", column="knn.top1", first="SimCLR_boxes", second="SimCLR_images"
                ),
                Above(
                    records="boxes",
                    column="retrieval.mIoU",
                    first="SimCLR_images",
                    second="SimCLR_boxes",
                ),
            ),
        ),
        Claim(
            claim="Pairs of video frames make features more invariant to the viewpoint.",
            place="the paper's frame temporal invariance; numbers UNCONFIRMED",
            confirms="firing score under changes of viewpoint of SimCLR on frame pairs above "
            "SimCLR on single frames",
            commands=(_COMPARE("frame_pairs"),),
            scale="short generated sequences, three seeds",
            tests=(
                Above(
                    records="frame_pairs",
                    column="invariances.viewpoint_top10",
                    first="frame_pairs",
                    second="single_frames",
                ),
            ),
        ),
        Claim(
            claim="The invariances hold on real videos and objects.",
            place=_PLACE,
            confirms="the same scores on GOT-10k, ALOI and PASCAL3D+",
            commands=("python tools/analyse.py invariances CHECKPOINT --data LAYOUT:ROOT",),
            scale="ResNet-50, as published",
            needs="GOT-10k (registration), ALOI and PASCAL3D+",
        ),
    ),
)
