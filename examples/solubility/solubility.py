"""The job: Delaney's estimate of aqueous solubility for this task's share of the molecules.

Runs once per task of an array. Reads the molecules from /in, takes every `size`-th from its index on, and writes
result.csv into its working folder, which is where outputs are collected.

J. S. Delaney, "ESOL: Estimating Aqueous Solubility Directly from Molecular Structure", J. Chem. Inf. Comput. Sci. 44
(2004) 1000-1005: logS = 0.16 - 0.63 cLogP - 0.0062 MW + 0.066 RB - 0.74 AP, in log10(mol/l).
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from typing import NamedTuple

COLUMNS = ("row", "clogp", "mw", "rb", "ap", "predicted")


class Descriptors(NamedTuple):
    """What the equation needs to know of a molecule."""

    clogp: float
    """Partition between octanol and water (log10), by Crippen's atom contributions."""
    mw: float
    """Molecular weight, g/mol."""
    rb: int
    """Rotatable bonds."""
    ap: float
    """Aromatic proportion: aromatic atoms over heavy atoms."""


def predict(found: Descriptors) -> float:
    """Delaney's equation 10: log10 of the solubility in mol/l."""
    return 0.16 - 0.63 * found.clogp - 0.0062 * found.mw + 0.066 * found.rb - 0.74 * found.ap


def describe(smiles: str) -> Descriptors:
    """The four descriptors of a molecule. Raises ValueError for a SMILES that RDKit cannot read."""
    from rdkit import Chem
    from rdkit.Chem import Crippen
    from rdkit.Chem import Descriptors as Rdkit

    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise ValueError(f"not a SMILES: {smiles!r}")
    aromatic = sum(atom.GetIsAromatic() for atom in molecule.GetAtoms())
    return Descriptors(
        clogp=Crippen.MolLogP(molecule),
        mw=Rdkit.MolWt(molecule),
        rb=Rdkit.NumRotatableBonds(molecule),
        ap=aromatic / molecule.GetNumHeavyAtoms(),
    )


def main(source: str, size: int) -> None:
    """Compute this task's share and write it."""
    index = int(os.environ["HYPERNODE_ARRAY_INDEX"])
    with Path(source).open(newline="", encoding="utf-8") as file:
        molecules = list(enumerate(csv.DictReader(file)))[index::size]
    with Path("result.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row, molecule in molecules:
            found = describe(molecule["smiles"].strip())
            writer.writerow([row, *found, predict(found)])
    print(f"task {index} of {size}: {len(molecules)} molecules", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
