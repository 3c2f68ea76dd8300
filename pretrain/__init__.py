"""Pretraining: data, views, geometry, backbones, objectives, engine and hooks."""
