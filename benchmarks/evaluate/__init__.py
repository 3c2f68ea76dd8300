"""Runs benchmarks by name: the suite, the command, the hook during training, the page.

From a checkpoint's path to a number in a table, eight stations, each read once and in this order:

1. :func:`run.evaluate`: what was asked for, checked; it calls 2 to 4, then 7 and 8.
2. :func:`suite.make_task`: a benchmark by its name, its data opened, its settings checked.
3. ``core.extractor.FeatureExtractor.load``: the frozen network out of the file.
4. ``core.benchmark.Benchmark.measure``: the clock around 5; makes the record of what 5 returns.
5. The benchmark's own ``run``, such as ``frozen.retrieval.run.run``: what is counted.
6. Its work, such as ``frozen.retrieval.label.label_val``: features in, predictions out.
7. :func:`tables.evaluation_tables`: records of one protocol together, the best of a column marked.
8. ``report.renderers.print_tables``: onto the screen.
"""
