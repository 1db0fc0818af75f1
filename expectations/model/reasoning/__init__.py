"""Fresh reasoning items from seeds: see generators.py."""

from expectations.model.reasoning.generators import generate

__all__ = ["generate"]
