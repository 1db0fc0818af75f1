"""Training twins: questions of a gate suite's topics from generators of their own, which may be trained on.

Nothing of the judged items' generators is used here: other templates, other names and things, other ranges of numbers.
A suite names its twins in ``suite.toml``: ``twins = "expectations.twins.SUITE:twins"``, a function of (seed, count,
topics) that gives rows ``{topic, prompt, chosen, rejected}``, with ``truth`` where a verifiable reward can compare with
one, and ``checks`` (the gate's) that ``chosen`` holds and ``rejected`` breaks. Pure: the same seed, the same rows.
"""
