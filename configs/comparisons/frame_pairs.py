"""Frame pairs or single frames: SimCLR on 2,400 frames of generated videos, with both views from
one frame, from two frames at least two apart, or from one object at two such times (boxes without
labels, as a tracker would give them).

Measured are the invariances, and dense retrieval and kNN on other scenes. The videos are short: in
six frames camera and objects move by some hundredths of the image and turn in its plane.

Launch:   python tools/compare.py configs/comparisons/frame_pairs.py
Hardware: 2 CPU cores
Result:   none measured; our own recipe
Knob:     source.min_gap
"""

_base_ = "scenes.py"
title = "Scenes: pairs of frames or single frames"
_root = "data/videos"
_frames = f"{_root}/sequences/train"
prepare = dict(
    scenes=dict(out=_root, images=3000, size=96, seed=0, sequences=500),
    tracks=dict(out="data/videos_tracks.json", sequences=_frames),
    factors=dict(out="data/factors", factors=10),
)
_pairs = dict(_delete_=True, type="FramePairs", root=_frames, min_gap=2)
_SimCLR = "configs/quick/simclr_scenes64.py"
arms = dict(
    _delete_=True,
    untrained=dict(train=False, config=_SimCLR),
    single_frames=dict(
        config=_SimCLR,
        overrides={"source": dict(_delete_=True, type="ImageFolder", root=_frames, labels=False)},
    ),
    frame_pairs=dict(config=_SimCLR, overrides={"source": _pairs}),
    tracked_regions=dict(
        config=_SimCLR,
        overrides={"source": dict(**_pairs, tracks="data/videos_tracks.json")},
    ),
)
benchmarks = dict(
    retrieval=dict(data=dict(root=_root)),
    knn=dict(data=dict(root=f"{_root}/crops")),
    invariances=dict(
        type="invariances",
        data=dict(type="ImageSets", root="data/factors", layout="scenes"),
        size=64,
    ),
)
primary = "invariances.viewpoint_top10"
columns = (
    "invariances.occlusion_top10",
    "invariances.viewpoint_top10",
    "invariances.illumination_direction_top10",
    "invariances.illumination_colour_top10",
    "invariances.instance_top10",
    "retrieval.mIoU",
    "knn.top1",
)
planned = ("frame_pairs", "single_frames")
pictures = dict(folder=f"{_root}/images/val")
