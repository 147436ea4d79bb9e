"""Benchmarks: one file per question. `python -m benchmarks.run` prints the table of the README; all of it is offline."""
