"""Training of feature upsamplers, and how consistent they are."""
