"""How much a folder holds, where no file system of its own bounds it."""

from __future__ import annotations

import os
from pathlib import Path


def over_limit(root: Path | str, files: int, size_bytes: int) -> bool:
    """Whether there is more below a folder than it may hold. Looks at no more than `files` entries."""
    seen = used = 0
    for folder, names, entries in os.walk(root):
        for name in (*names, *entries):
            seen += 1
            try:
                used += os.lstat(f"{folder}/{name}").st_blocks * 512
            except OSError:
                continue
            if seen > files or used > size_bytes:
                return True
    return False
