"""Checkpoints in other libraries' formats, and theirs as ours."""
