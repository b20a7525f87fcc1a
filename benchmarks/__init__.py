"""Timings of adnlib beside what one would use instead; start with benchmarks/run.py."""
