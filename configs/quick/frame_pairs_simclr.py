"""SimCLR on pairs of video frames: view 1 is cut from one frame, view 2 from one 5 to 30 frames
before or after it.

data/frames holds one folder of images for each video (data/frames/VIDEO/00000.jpg, 00001.jpg, …;
--cfg-options source.root=DIR names another). The generated scenes have short ones, of six frames:
--cfg-options source.root=data/scenes/sequences/train source.min_gap=1.

With source.tracks=FILE the two views show one tracked region (docs/data.md). A pixel objective such
as PixPro runs on the same source, but takes equal places of two whole frames for the same thing:
the camera has to stand still.

Launch:   python tools/train.py configs/quick/frame_pairs_simclr.py
Hardware: 2 CPU cores
Result:   none measured; our own recipe
Knob:     source.min_gap
"""

_base_ = "simclr_scenes64.py"
source = dict(_delete_=True, type="FramePairs", root="data/frames", min_gap=5, max_gap=30)
