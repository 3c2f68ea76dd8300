"""Training feature upsamplers: jitters, downsamplers, losses and the model that the engine trains."""
