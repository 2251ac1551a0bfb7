"""`python -m bench [PART …] [--quick]`: measure, print, write `bench/results/` and `docs/benchmarks.md`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

from rich.console import Console
from rich.table import Table

from bench import parts, report
from bench.measuring import CheckFailed
from bench.results import ROOT, Result, complete, read, write


def main() -> int:
    """Run the parts that are asked for, in order; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts.PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="few repetitions: to see that it works")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.parts if name not in parts.PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(parts.PARTS)}")
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what was started is stopped
    os.chdir(ROOT)  # the processes of the bench are started as modules of it
    console = Console(highlight=False)
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.0f} s  {text}[/dim]")

    failed = False
    for name, run in parts.PARTS.items():
        if arguments.parts and name not in arguments.parts:
            continue
        say(f"[bold]{name}[/bold]")
        load_before = os.getloadavg()[0]
        try:
            found = run(arguments.quick, say)
        except CheckFailed as error:
            console.print(f"{name}: {error}", style="red", markup=False)
            failed = True
            continue
        result = complete(name, found, quick=arguments.quick, load_before=load_before)
        write(result)
        _show(console, result)
    page = report.write(read(), list(parts.PARTS))
    say(f"written: bench/results/ and {page.relative_to(ROOT)}")
    return int(failed)


def _show(console: Console, result: Result) -> None:
    if not result.figures_in_tables:
        table = Table(title=result.title, title_justify="left")
        table.add_column("figure")
        for column in ("value", "unit", "min", "median", "max"):
            table.add_column(column, justify="left" if column == "unit" else "right")
        for one in result.figures:
            table.add_row(one.name, f"{one.value:g}", one.unit, f"{one.min:g}", f"{one.median:g}", f"{one.max:g}")
        console.print(table)
    for rows in result.tables:
        table = Table(title=rows.title, title_justify="left")
        for number, column in enumerate(rows.columns):
            table.add_column(column, justify="left" if number < rows.words else "right", overflow="fold")
        for row in rows.rows:
            table.add_row(*row)
        console.print(table)
    for aim in result.aims:
        color = "green" if aim.met else "red"
        verdict = "met" if aim.met else "missed"
        console.print(f"[{color}]{aim.name}: {aim.value:g} {aim.unit}, aim {aim.bound}: {verdict}[/{color}]")


if __name__ == "__main__":
    sys.exit(main())
