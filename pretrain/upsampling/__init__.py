"""Training feature upsamplers: jitters, downsamplers, losses, the model that is trained."""
