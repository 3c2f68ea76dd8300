"""What watches a run: collapse, throughput, non-finite numbers, unreadable files."""
