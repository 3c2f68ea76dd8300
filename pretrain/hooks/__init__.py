"""What watches a run: collapse, throughput, unreadable files."""
