"""Checkpoint files as objects: networks, upsamplers, pyramids and what they say of themselves."""
