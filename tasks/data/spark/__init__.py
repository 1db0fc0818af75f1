"""Past one machine: a night's set checks and its search for near-duplicates on Spark. The only home of pyspark.

The checks are the Ibis expressions that DuckDB runs (``tasks.data.checks``); near-duplicates are proposed by Spark's
own MinHashLSH and proven by the same counting. What comes back is what DuckDB would have made: flags, a profile, near
pairs.
"""
