"""Measures without labels in training: clusters of frozen cells held against masks of classes."""
