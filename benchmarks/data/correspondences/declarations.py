"""The layouts of corresponding points and views, one declaration each."""

from __future__ import annotations

from benchmarks.data.correspondences.ap10k import PARTS as AP10K_PARTS
from benchmarks.data.correspondences.ap10k import read_ap10k
from benchmarks.data.correspondences.navi import read_navi
from benchmarks.data.correspondences.proposal_flow import read_pf_pascal, read_pf_willow
from benchmarks.data.correspondences.pts_coord import read_pts_coord
from benchmarks.data.correspondences.spair import read_spair
from benchmarks.data.layout import Layout, PointPairs, Points, Views

CORRESPONDENCES = (
    Layout(
        "pfwillow",
        points=Points(
            "*.mat",
            read=read_pts_coord,
            relative_to="box",
            about="SUBSET/NAME.png next to SUBSET/NAME.mat with the variable 'pts_coord'",
        ),
    ),
    Layout(
        "willow-list",
        points=PointPairs(
            read=read_pf_willow,
            parts=("test",),
            relative_to="box",
            about="SUBSET/NAME.png and test_pairs.csv, the published list: two images, 10 x and 10 "
            "y of each",
        ),
        inner="PF-dataset",
    ),
    Layout(
        "pfpascal",
        points=PointPairs(
            read=read_pf_pascal,
            parts=("test", "val"),
            relative_to="image",
            about="JPEGImages/NAME.jpg and {part}_pairs_pf_pascal.csv: two images, class, XA, YA, "
            "XB, YB; boxes from Annotations/CLASS/NAME.mat",
        ),
        inner="PF-dataset-PASCAL",
    ),
    Layout(
        "spair",
        points=PointPairs(
            read=read_spair,
            parts=("test", "val", "trn"),
            relative_to="box",
            about="Layout/large/{part}.txt, PairAnnotation/{part}/PAIR.json and "
            "JPEGImages/CLASS/NAME.jpg",
        ),
        inner="SPair-71k",
    ),
    Layout(
        "ap10k",
        points=PointPairs(
            read=read_ap10k,
            parts=AP10K_PARTS,
            relative_to="box",
            about="annotations/ap10k-{train,test,val}-split1.json and data/NAME.jpg, from which "
            "the pairs of one species, of two (part=test_cross_species) or of two families "
            "(part=test_cross_family) are made",
        ),
        inner="ap-10k",
    ),
    Layout(
        "navi",
        views=Views(
            read=read_navi,
            about="OBJECT/{wild_set,multiview_*}/ with annotations.json (cameras), images/NAME.jpg "
            "and depth/NAME.png (16 bits, 655350 / value millimetres, 0 unknown)",
        ),
        inner="navi_v1",
    ),
)
