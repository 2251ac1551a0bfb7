"""Compiled modules on the node's disk: made once by the node itself, checked before each use, bounded.

Loading compiled code is running it, so nothing gets in here but what the node's own compiler wrote in a sandbox that
ran no line of the module. A file is named by what it was made from (module, engine, settings, processor) and by its own
SHA-256; one that has changed is thrown away and made again. The folder is the node's alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

KEY_CHARS: Final = 64

Compile = Callable[[str, Path, Path], Awaitable[tuple[str, Path]]]
"""Compile the module at the first path, with the second as a folder to work in, under a name that is free for a task's
key; gives the SHA-256 of what came out, and the file."""


class CompiledModules:
    """A folder of them, at most `bound_bytes` together but for those in use, the least recently used going first."""

    def __init__(self, folder: Path, bound_bytes: int, tag: str, compile_module: Compile) -> None:
        """`tag`: what compiled code depends on besides the module. Takes over what is in the folder."""
        self._folder = folder
        self._bound = bound_bytes
        self._tag = tag
        self._compile = compile_module
        self._pins: dict[str, int] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._files: dict[str, tuple[str, int]] = {}  # in order of use: key to content's hash and size
        self._open()

    @asynccontextmanager
    async def hold(self, sha256: str, module: Path) -> AsyncIterator[Path]:
        """The compiled form of a module, there for as long as the block runs. Raises what compiling raises."""
        key = hashlib.sha256(f"{sha256} {self._tag}".encode()).hexdigest()
        self._pins[key] = self._pins.get(key, 0) + 1
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:  # whoever waits here finds it made
                path = await self._get(key, module)
            yield path
        finally:
            self._pins[key] -= 1
            if not self._pins[key]:
                del self._pins[key]
                del self._locks[key]

    async def _get(self, key: str, module: Path) -> Path:
        known = self._files.pop(key, None)
        if known is not None:
            path = self._path(key, known[0])
            if await asyncio.to_thread(_sha256, path) == known[0]:
                self._files[key] = known
                os.utime(path)
                return path
            path.unlink(missing_ok=True)
        part = self._folder / f".part-{key}"
        part.mkdir(mode=0o700, exist_ok=True)
        try:
            digest, made = await self._compile(f"compile-{key[:40]}", module, part)
            size = made.stat().st_size
            self._make_room(size)
            made.chmod(0o444)
            path = self._path(key, digest)
            made.rename(path)
        finally:
            await asyncio.to_thread(shutil.rmtree, part, ignore_errors=True)
        self._files[key] = (digest, size)
        return path

    def _path(self, key: str, digest: str) -> Path:
        return self._folder / f"{key}-{digest}"

    def _make_room(self, size: int) -> None:
        """Best effort: what is in use stays, even beyond the bound."""
        used = sum(kept for _, kept in self._files.values())
        for key, (digest, kept) in list(self._files.items()):
            if used + size <= self._bound:
                return
            if key not in self._pins:
                del self._files[key]
                self._path(key, digest).unlink(missing_ok=True)
                used -= kept

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = []
        for entry in os.scandir(self._folder):
            key, _, digest = entry.name.partition("-")
            if entry.is_file(follow_symlinks=False) and len(key) == KEY_CHARS == len(digest):
                status = entry.stat()
                found.append((status.st_mtime_ns, key, digest, status.st_size))
            elif entry.name.startswith(".part-"):
                shutil.rmtree(entry.path, ignore_errors=True)  # of an agent that was killed
        for _, key, digest, size in sorted(found):
            self._files[key] = (digest, size)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""
