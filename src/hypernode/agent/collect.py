"""Reading a folder that a stranger's program wrote, as if it wanted to hurt us.

Everything goes through descriptors relative to the folder's own; nothing is followed, nothing but regular files is
opened, and every loop has a bound. So links lead nowhere, a pipe blocks nobody, a sparse terabyte costs nothing and a
folder of a million files costs `files`. What is refused is listed with its reason, never silently dropped.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from hypernode.jobs.outputs import Patterns

READ_BYTES = 1 << 20
NAME_SHOWN = 80
REJECTED_SHOWN = 1000


class CollectLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much may be taken out of one folder. Past `files` or `entries` the rest is refused as a whole."""

    files: int = 10_000
    """Accepted files."""
    entries: int = 100_000
    """Directory entries looked at, whatever they are."""
    total_bytes: int = 1 << 30
    """Contents of all accepted files together."""
    depth: int = 16
    """Folders inside folders."""
    path_bytes: int = 1024
    """Length of a relative path in UTF-8."""


class Refusal(enum.StrEnum):
    """Why an entry was not collected. All but UNMATCHED deserve the submitter's attention."""

    NAME = "name is not UTF-8, or has control characters or a backslash"
    NOT_REGULAR = "not a regular file"
    LINKED = "has several hard links"
    RACE = "changed while it was read"
    TOO_DEEP = "too deeply nested"
    PATH_TOO_LONG = "path too long"
    TOO_LARGE = "outputs together too large"
    TOO_MANY = "too many files"
    UNREADABLE = "cannot be read"


class Accepted(msgspec.Struct, frozen=True):
    """A file that lies in the spool under its hash. `path` is relative, with forward slashes."""

    path: str
    size_bytes: int
    sha256: str


class Rejected(msgspec.Struct, frozen=True):
    """An entry that was not collected. `path` is made printable and cut."""

    path: str
    why: Refusal


class Collected(msgspec.Struct, frozen=True):
    """Accepted and rejected entries, each sorted by path. At most REJECTED_SHOWN rejections are listed."""

    accepted: tuple[Accepted, ...]
    rejected: tuple[Rejected, ...]
    rejected_count: int


def collect(root: int, patterns: Sequence[str], spool: Path, limits: CollectLimits) -> Collected:
    """Copy the matching files below the folder descriptor `root` into `spool`, each named by its SHA-256.

    Blocking; run it in a thread. Keeps `root` open. A file that is already in the spool is not written twice. Raises
    ValueError for a pattern that is not a path below it, and OSError only for the spool's own trouble.
    """
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _Collector(Patterns(patterns), spool, limits).run(root)


class _Collector:
    def __init__(self, wanted: Patterns, spool: Path, limits: CollectLimits) -> None:
        self._wanted = wanted
        self._spool = spool
        self._limits = limits
        self._accepted: list[Accepted] = []
        self._rejected: list[Rejected] = []
        self._rejected_count = 0
        self._entries = 0
        self._bytes = 0
        self._full = False

    def run(self, root: int) -> Collected:
        self._folder(root, b"", 0)
        return Collected(
            accepted=tuple(sorted(self._accepted, key=lambda a: a.path)),
            rejected=tuple(sorted(self._rejected, key=lambda r: r.path)),
            rejected_count=self._rejected_count,
        )

    def _folder(self, folder: int, path: bytes, depth: int) -> None:
        for name in self._names(folder, path):
            if self._full:
                return
            self._entry(folder, name, path + b"/" + name if path else name, depth)

    def _names(self, folder: int, path: bytes) -> Iterator[bytes]:
        """At most as many names as may still be looked at, sorted: which files win must not be a matter of luck."""
        names: list[bytes] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if self._entries >= self._limits.entries:
                        self._reject(path or b".", Refusal.TOO_MANY)
                        break
                    self._entries += 1
                    names.append(os.fsencode(entry.name))
        except OSError:
            self._reject(path or b".", Refusal.UNREADABLE)
        return iter(sorted(names))

    def _entry(self, folder: int, name: bytes, path: bytes, depth: int) -> None:
        try:
            state = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(state.st_mode):
                self._descend(folder, name, path, depth)
                return
            text = _clean(path)
            if text is None:
                self._reject(path, Refusal.NAME)
            elif len(path) > self._limits.path_bytes:
                self._reject(path, Refusal.PATH_TOO_LONG)
            elif not self._wanted.match(text):
                return
            elif not stat.S_ISREG(state.st_mode):
                self._reject(path, Refusal.NOT_REGULAR)
            elif state.st_nlink != 1:
                self._reject(path, Refusal.LINKED)
            elif len(self._accepted) >= self._limits.files:
                self._reject(path, Refusal.TOO_MANY)
                self._full = True
            elif self._bytes + state.st_size > self._limits.total_bytes:
                self._reject(path, Refusal.TOO_LARGE)
            else:
                self._take(folder, name, path, text, state)
        except _SpoolError as error:
            raise error.cause from None
        except OSError:
            self._reject(path, Refusal.UNREADABLE)

    def _descend(self, folder: int, name: bytes, path: bytes, depth: int) -> None:
        if depth >= self._limits.depth:
            self._reject(path, Refusal.TOO_DEEP)
            return
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        inner = os.open(name, flags, dir_fd=folder)
        try:
            self._folder(inner, path, depth + 1)
        finally:
            os.close(inner)

    def _take(self, folder: int, name: bytes, path: bytes, text: str, before: os.stat_result) -> None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        file = os.open(name, flags, dir_fd=folder)
        try:
            now = os.fstat(file)
            same = (now.st_dev, now.st_ino) == (before.st_dev, before.st_ino)
            if not same or not stat.S_ISREG(now.st_mode) or now.st_nlink != 1:
                self._reject(path, Refusal.RACE)
                return
            copied = self._copy(file, before.st_size)
        finally:
            os.close(file)
        if copied is None:
            self._reject(path, Refusal.RACE)
            return
        self._bytes += before.st_size
        self._accepted.append(Accepted(text, before.st_size, copied))

    def _copy(self, file: int, size: int) -> str | None:
        """Copy exactly `size` bytes into the spool; the SHA-256, or None if the file proved longer or shorter."""
        part = self._spool / f".part-{os.getpid()}-{id(self)}"
        digest = hashlib.sha256()
        left = size
        with _spooling():
            target = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            while left > 0 and (data := os.read(file, min(READ_BYTES, left))):
                digest.update(data)
                left -= len(data)
                with _spooling():
                    _write(target, data)
            if left or os.read(file, 1):
                return None
            with _spooling():
                os.replace(part, self._spool / digest.hexdigest())
            return digest.hexdigest()
        finally:
            os.close(target)
            part.unlink(missing_ok=True)

    def _reject(self, path: bytes, why: Refusal) -> None:
        self._rejected_count += 1
        if len(self._rejected) < REJECTED_SHOWN:
            self._rejected.append(Rejected(printable(path), why))


class _SpoolError(Exception):
    """Carries our own disk's trouble past the handler for the hostile side's."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


@contextlib.contextmanager
def _spooling() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _SpoolError(error) from error


def _write(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]


def printable(path: bytes) -> str:
    """A path that is safe to show: escaped like a Python literal, cut to NAME_SHOWN characters."""
    text = path.decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= NAME_SHOWN else text[: NAME_SHOWN - 1] + "…"


def _clean(path: bytes) -> str | None:
    """The path as text, or None if it could confuse a person, a shell, a URL or another system."""
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if any(not c.isprintable() or c == "\\" for c in text) else text
