"""Networks behind one feature-pyramid interface."""

# A checkpoint names its backbone's class: whoever loads one finds both registered.
from pretrain.backbones import sincos_vit as sincos_vit
from pretrain.backbones import timm_backbone as timm_backbone
