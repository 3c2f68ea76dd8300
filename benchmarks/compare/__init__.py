"""Comparisons: arms × seeds × benchmarks under one equal budget, resumable, with intervals.

The path of one comparison: :mod:`plan` (what shall be done, checked before any work) →
:mod:`budget` (how many samples that means for each arm) → :mod:`local` (which trials run when) →
:mod:`trial` (one arm with one seed, in its own process) → :mod:`table` (mean ± interval, cost, what
was held equal) → :mod:`page` (one page that links everything).
"""
