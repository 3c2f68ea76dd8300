"""Runs benchmarks by name: the suite, the command, the hook during training, the page.

From a checkpoint's path to a number in a table, eight stations below ``benchmarks``, each read once
and in this order:

1. :func:`evaluate.run.evaluate`: what was asked for, checked; it calls 2 to 4 and 8.
2. :func:`evaluate.suite.make_task`: a benchmark by its name, its data opened, its settings checked.
3. :class:`core.extractor.FeatureExtractor`: ``load`` builds the frozen network and fills it
   (``weights.checkpoint.Checkpoint.network``); ``through`` gives benchmarks of maps their stride,
   behind an upsampler where one was asked for; 6 calls its ``maps``, or ``vector``.
4. :meth:`core.benchmark.Benchmark.measure`: the clock around 5, and the record of what 5 returns.
5. The benchmark's own ``run``, such as :func:`frozen.retrieval.run.run`: hands what 6 yields to 7.
6. Its work, such as :mod:`frozen.retrieval.label`: the train part becomes a memory, each batch of
   the val part gets its labels from there (found by ``core.neighbours``).
7. Its tally, such as :class:`core.scores.SegmentationTally`: labels become counts, and these the
   metrics that 5 returns.
8. :func:`report.table.build`: records of one protocol, entries by ``evaluate.tables``, become
   the cells of a table, which ``report.renderers`` prints.
"""
