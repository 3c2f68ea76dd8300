"""Weights of others: whose layout a file has, and the same tensors under our names."""
