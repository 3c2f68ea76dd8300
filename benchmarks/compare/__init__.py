"""Comparisons: arms × seeds × benchmarks under one equal budget, resumable, with intervals.

The path of one comparison, in the order in which :mod:`run` takes it: :mod:`plan` (what shall be
done, checked before any work) → :mod:`prepare` and :mod:`arms` (data, and what only data can show)
→ :mod:`budget` (how many samples that means for each arm) → :mod:`jobs` (what is missing) →
:mod:`executors` (where and when it runs) → :mod:`trial` (one arm with one seed, in its own process)
→ :mod:`finish` (:mod:`table`: mean ± interval, cost, what was held equal; :mod:`page`: one page
that links everything).
"""
