"""Benchmarks of frozen features, and the trivial predictors beside them."""
