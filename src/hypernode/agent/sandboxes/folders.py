"""Folders that strangers filled: what is in them, how much that is, and how they go.

Python's own `os.walk` and `shutil.rmtree` call themselves once a level, and the latter holds a file open for each: a
job that nests folders deeply enough would end whoever looks after it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path


def walk(root: Path | str) -> Iterator[tuple[str, os.stat_result]]:
    """Everything below a folder with its state, each before what is in it; links are not followed.

    What goes meanwhile, what may not be read, and what lies deeper than a path can name is left out.
    """
    todo = [os.fspath(root)]
    while todo:
        with contextlib.suppress(OSError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                try:
                    state = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISDIR(state.st_mode):
                    todo.append(entry.path)
                yield entry.path, state


def over_limit(root: Path | str, files: int, size_bytes: int) -> bool:
    """Whether there is more below a folder than it may hold. Looks at no more than `files` entries."""
    used = 0
    for seen, (_, state) in enumerate(walk(root), 1):
        used += state.st_blocks * 512
        if seen > files or used > size_bytes:
            return True
    return False


def remove(path: Path | str) -> bool:
    """Delete a folder and what is in it, however deep and whatever its permissions; whether nothing is left."""
    place = os.fspath(path)
    command = ["rm", "-rf", "--", place]
    if os.path.lexists(place) and _quietly(command) != 0:
        _quietly(["chmod", "-R", "u+rwX", "--", place])
        _quietly(command)
    return not os.path.lexists(place)


def _quietly(command: list[str]) -> int:
    null = subprocess.DEVNULL
    return subprocess.run(command, stdin=null, stdout=null, stderr=null).returncode
