"""Runs benchmarks by name: the suite, the command, the hook during training, the page.

From a checkpoint's path to a number in a table, in the order of the calls: :func:`run.evaluate`
(what was asked for, checked) → :func:`suite.make_task` (a benchmark by its name, its data opened)
→ ``core.extractor.FeatureExtractor.load`` (the frozen network out of the file) →
``core.benchmark.Benchmark.measure`` (the clock, and the record at the end) → the benchmark's own
``run``, as in ``frozen.knn`` (features in, a result out) → ``core.benchmark.Benchmark.record``
(protocol, versions, hash) → :func:`tables.evaluation_tables` (records of one protocol together) →
``report.renderers.print_tables``. Nothing else decides about the number.
"""
