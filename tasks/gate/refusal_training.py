"""Train the refusal classifier: ``python -m tasks.gate.refusal_training`` writes refusal_weights.json.

L2-penalised logistic regression over the features of tasks/lm/refusal.py, on expectations/model/refusals/build.jsonl
alone; held_out.jsonl is for measuring and is never read here.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import expit

from infra.jsonl import load_lines
from tasks.lm.refusal import WEIGHTS, features

BUILD = Path(__file__).parents[2] / "expectations" / "model" / "refusals" / "build.jsonl"

# chosen by cross-validation on build.jsonl (docs/design/scorers.md)
PENALTY, LEAST_SEEN = 1.0, 2
_DECIMALS = 3


class Weights(NamedTuple):
    intercept: float
    weights: dict[str, float]


def train(texts: Sequence[str], refusals: Sequence[bool]) -> Weights:
    """Weights of all features that at least two of the answers have, rounded."""
    found = [features(text) for text in texts]
    seen = Counter(name for names in found for name in names)
    kept = sorted(name for name, times in seen.items() if times >= LEAST_SEEN)
    column = {name: i for i, name in enumerate(kept)}
    cells = [(one[name], row, column[name]) for row, one in enumerate(found) for name in sorted(one) if name in column]
    values, rows, columns = zip(*cells, strict=True)
    matrix = csr_matrix((values, (rows, columns)), shape=(len(texts), len(kept)))
    *fitted, intercept = (round(float(one), _DECIMALS) for one in fit(matrix, len(kept), refusals))
    return Weights(intercept, {name: weight for name, weight in zip(kept, fitted, strict=True) if weight})


def fit(matrix: csr_matrix, columns: int, labels: Sequence[bool]) -> np.ndarray:
    """Minimise Σ log(1 + e^(−y·z)) + penalty/2·|w|². Returns one weight a column and the intercept, unpenalised."""
    signs = np.where(labels, 1.0, -1.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        z = signs * (matrix @ weights[:-1] + weights[-1])
        pull = -signs * expit(-z)
        value = float(np.logaddexp(0, -z).sum() + PENALTY / 2 * weights[:-1] @ weights[:-1])
        return value, np.append(matrix.T @ pull + PENALTY * weights[:-1], pull.sum())

    tight = {"maxiter": 2000, "ftol": 1e-13, "gtol": 1e-7}
    return minimize(loss, np.zeros(columns + 1), jac=True, method="L-BFGS-B", options=tight).x


def main() -> None:
    lines = load_lines(BUILD.read_bytes())
    trained = train([line["text"] for line in lines], [line["refusal"] for line in lines])
    WEIGHTS.write_text(json.dumps(trained._asdict(), indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
