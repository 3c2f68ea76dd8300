"""Weights in and out: other libraries' file layouts from and to timm's key names."""
