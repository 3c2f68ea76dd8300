"""Augmented views: crops that know their geometry, photometrics, and the two executors of both."""
