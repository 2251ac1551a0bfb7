"""What can be uploaded: a file, bytes, or an open seekable file, read by offset so that sending can go on anywhere."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO, Final, TypeAlias

from hypernode.client.errors import FileUnusable
from hypernode.jobs.model import ArtifactRef
from hypernode.kernel import limits

Uploadable: TypeAlias = str | os.PathLike[str] | bytes | IO[bytes]
"""A path, the bytes themselves, or a binary file that can seek (all of it counts, wherever it stands)."""

_HASH_BYTES: Final = 1 * limits.MIB


class Source:
    """Bytes with a name for messages. `identify` and `read` block; call them off the event loop."""

    def __init__(self, what: Uploadable) -> None:
        self._bytes: bytes | None = None
        self._path: Path | None = None
        self._file: IO[bytes] | None = None
        if isinstance(what, bytes | bytearray | memoryview):
            self._bytes = bytes(what)
            self.name = f"{len(self._bytes)} bytes"
        elif isinstance(what, str | os.PathLike):
            self._path = Path(what)
            self.name = str(what)
        else:
            if not what.seekable():
                raise FileUnusable("an upload must be able to seek, to be hashed first; write it to a file")
            self._file = what
            self.name = str(getattr(what, "name", "an open file"))

    def identify(self) -> ArtifactRef:
        """Hash and count all bytes. Raises FileUnusable."""
        digest, size = hashlib.sha256(), 0
        while piece := self.read(size, _HASH_BYTES):
            digest.update(piece)
            size += len(piece)
        return ArtifactRef(digest.hexdigest(), size)

    def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset`; fewer only at the end. Raises FileUnusable."""
        if self._bytes is not None:
            return self._bytes[offset : offset + count]
        try:
            if self._file is not None:
                self._file.seek(offset)
                data = self._file.read(count)
                if not isinstance(data, bytes):
                    raise FileUnusable(f"{self.name} is open as text; open it with mode 'rb'")
                return data
            assert self._path is not None
            with self._path.open("rb") as file:
                file.seek(offset)
                return file.read(count)
        except OSError as error:
            raise FileUnusable(f"cannot read {self.name}: {error.strerror or error}") from error
