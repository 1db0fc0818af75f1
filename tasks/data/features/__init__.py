"""What is computed of each row once: a feature is a function from a shard's rows to columns, kept by its digest.

A night pays for new shards only. Each feature is timed apart (``benchmarks/validate.py``).
"""
