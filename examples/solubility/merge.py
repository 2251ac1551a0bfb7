"""Put the tasks' results together and hold them against what was measured."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

MEASURED = "measured log solubility in mols per litre"
DELANEY = "ESOL predicted log solubility in mols per litre"


class Fit(NamedTuple):
    """How well predictions agree with measurements."""

    rmse: float
    """Root mean square error, in log10(mol/l)."""
    r2: float
    """Coefficient of determination: 1 - residual over total sum of squares."""


class Merged(NamedTuple):
    """Measured and predicted solubilities, in the order of the data."""

    measured: list[float]
    delaney: list[float]
    ours: list[float]


def fit(measured: Sequence[float], predicted: Sequence[float]) -> Fit:
    """RMSE and R² of predictions. Raises ValueError for sequences of different length or fewer than two."""
    pairs = list(zip(measured, predicted, strict=True))
    if len(pairs) < 2:
        raise ValueError("a fit needs at least two values")
    residual = math.fsum((true - guess) ** 2 for true, guess in pairs)
    mean = math.fsum(measured) / len(pairs)
    total = math.fsum((true - mean) ** 2 for true in measured)
    return Fit(math.sqrt(residual / len(pairs)), 1 - residual / total)


def merge(data: Path, results: Iterable[Path]) -> Merged:
    """Results of all tasks, joined with the data by row. Raises ValueError unless every row is there exactly once."""
    with data.open(newline="", encoding="utf-8") as file:
        molecules = list(csv.DictReader(file))
    predicted: dict[int, float] = {}
    for path in results:
        with path.open(newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file):
                row = int(line["row"])
                if row in predicted:
                    raise ValueError(f"row {row} was computed twice")
                predicted[row] = float(line["predicted"])
    if set(predicted) != set(range(len(molecules))):
        raise ValueError(f"{len(predicted)} of {len(molecules)} rows were computed")
    return Merged(
        measured=[float(molecule[MEASURED]) for molecule in molecules],
        delaney=[float(molecule[DELANEY]) for molecule in molecules],
        ours=[predicted[row] for row in range(len(molecules))],
    )
