"""Options that all `node:` commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", metavar="FOLDER", help="The node's home. [default: $HYPERNODE_HOME/node, ~/.hypernode/node]"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
