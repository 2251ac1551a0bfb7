"""What all commands share: the client, tables, JSON, amounts, progress bars."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console

    from hypernode.client.aio import AsyncClient
    from hypernode.client.sync import Client

chosen_context: str | None = None
"""What --context said; set once, before any command runs."""

BAR_BYTES: Final = 1024 * 1024
"""Transfers up to this size are over before a bar could be read."""

# C0 and C1 controls: a name or message from elsewhere must not be able to steer the terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def connect() -> Client:
    """A client for the chosen context."""
    from hypernode.client.sync import Client

    return Client(context=chosen_context)


def connect_async() -> AsyncClient:
    """The same for asyncio."""
    from hypernode.client.aio import AsyncClient

    return AsyncClient(context=chosen_context)


def clean(text: object, *, keep_lines: bool = False) -> str:
    """Text from elsewhere without anything that a terminal would obey, and that any encoding can show."""
    pattern = _CONTROL_BUT_LINES if keep_lines else _CONTROL
    return pattern.sub("\ufffd", str(text)).encode(errors="replace").decode()


def say(text: str) -> None:
    """One line to the person at the terminal; stdout is left to results."""
    print(clean(text), file=sys.stderr, flush=True)


def money(amount: int | None) -> str:
    """An amount for people."""
    from hypernode.kernel.money import show

    return "" if amount is None else show(amount)


def write_json(value: Any) -> None:
    """Any struct, or list of them, as indented JSON on stdout."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def write_json_line(value: Any) -> None:
    """One value as one line, for streams."""
    import msgspec

    print(msgspec.json.encode(value).decode(), flush=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """Rows under their titles. On a terminal it fits the width; elsewhere every cell is whole, for other programs."""
    cells = [[clean(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.table import Table
        from rich.text import Text

        made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for title in columns:
            made.add_column(title, justify="right" if title in right else "left", overflow="fold")
        for row in cells:
            made.add_row(*[Text(cell) for cell in row])
        console().print(made)
        return
    widths = [max(len(line[at]) for line in [list(columns), *cells]) for at in range(len(columns))]
    for line in [list(columns), *cells]:
        parts = [
            cell.rjust(width) if title in right else cell.ljust(width)
            for title, cell, width in zip(columns, line, widths, strict=True)
        ]
        print("  ".join(parts).rstrip())


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line; those without a value are left out."""
    shown = [(name, clean(value)) for name, value in pairs if value not in (None, "")]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        print(f"{name.ljust(width)}  {value}")


def console(*, stderr: bool = False) -> Console:
    """A Rich console; it writes no colour codes where there is no terminal."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, soft_wrap=not sys.stdout.isatty())


def when(text: str | None) -> str:
    """A time of the interface to the second, as people read it."""
    return "" if not text else text[:19].replace("T", " ")


@contextmanager
def transfer(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress callback that shows a bar on stderr once it knows that there is more than BAR_BYTES to move."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        console=console(stderr=True),
        transient=True,
    )
    task = None

    def update(done: int, total: int) -> None:
        nonlocal task
        if total <= BAR_BYTES:
            return
        if task is None:
            task = bar.add_task(title, total=total)
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield update
    finally:
        bar.stop()


@contextmanager
def busy(doing: str) -> Iterator[None]:
    """Say what takes long: a spinner on a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield
        return
    with console(stderr=True).status(doing):
        yield
