"""What transfers, and why: each analysis is a benchmark whose record says more than one number.

An analysis is a module that ends in ``BENCHMARK = Benchmark(...)``, as every benchmark; so it runs
from the command line, in comparisons and in the suite. docs/analyses.md says what each result means
and what it does not.
"""
