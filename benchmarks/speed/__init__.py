"""How fast a training step and the input pipeline are."""
