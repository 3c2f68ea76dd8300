"""Runs benchmarks by name: the suite, the command, the hook during training, the page."""
