"""Checkpoint files: whose layout they have, and the same tensors under our names."""
