"""What is computed of each row once: a feature is columns beside a shard's rows, kept by its shard's digest.

A night pays for new shards only. Each feature is timed apart (``benchmarks/validate.py``). A feature is a module:

- ``compute``: from a table of rows, and what else it is given, to as many rows of other columns. Pure. Or ``write``,
  where a database does the work: from file to file.
- ``COLUMNS``: of the rows, those that it reads
- ``CODE``, ``LIBRARIES``: what beside its own file decides the result: paths in the repository, distributions
"""
