"""Artifacts up and down: streamed, resumed after any interruption, checked by SHA-256. Generators of effects."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final, TypeAlias

from hypernode.artifacts.model import UploadView
from hypernode.client import calls
from hypernode.client.effects import Answer, Open, Operation, Read, Send, Sleep, Work
from hypernode.client.errors import AnswerInvalid, ConnectionFailed, FileUnusable, Interrupted
from hypernode.client.operations import Patience, ask
from hypernode.client.retry import TRANSIENT, backoff_s
from hypernode.client.sources import Source
from hypernode.jobs.model import ArtifactRef
from hypernode.kernel import limits
from hypernode.kernel.errors import HashMismatch, OffsetMismatch, TooLarge

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all; the total of a download is 0 until the server has said it."""

PIECE_BYTES: Final = 8 * limits.MIB
"""One PATCH: large enough that its round trip is noise, small enough to hold and to send again."""
READ_TIMEOUT_S: Final = 60.0
_HASH_BYTES: Final = 1 * limits.MIB


def upload(source: Source, patience: Patience, progress: Progress | None = None) -> Operation[ArtifactRef]:
    """Store a source's bytes. What the network has already is not sent; what broke off goes on where it stopped."""
    ref: ArtifactRef = yield Work(source.identify)
    if ref.size_bytes > limits.ARTIFACT_BYTES:
        raise TooLarge(f"{source.name} has {ref.size_bytes} bytes, an artifact at most {limits.ARTIFACT_BYTES}")
    view = yield from ask(calls.begin_upload(ref, str(uuid.uuid4())), patience)
    failures, best = 0, -1
    while not view.complete:
        if progress is not None:
            progress(view.offset, ref.size_bytes)
        if view.offset > best:
            failures, best = 0, view.offset
        at = view.offset
        piece: bytes = yield Work(functools.partial(source.read, at, PIECE_BYTES))
        if not piece and at < ref.size_bytes:
            raise FileUnusable(f"{source.name} became shorter while it was uploaded")
        call = calls.send_piece(view.id, at, piece)
        try:
            answer: Answer | None = yield Send(call.request)
        except Interrupted as broken:
            answer, cause = None, broken
        if answer is not None and answer.status not in TRANSIENT:
            with contextlib.suppress(OffsetMismatch):
                view = calls.read(answer, UploadView)
                if view.complete or view.offset > at:
                    continue
                if at == ref.size_bytes:
                    raise AnswerInvalid("the upload has all bytes but is not complete")
        failures += 1
        if failures >= patience.retry.attempts:
            if answer is not None:
                raise calls.problem(answer)
            raise ConnectionFailed(f"{cause}; the upload of {source.name} stands at {at} bytes") from cause
        yield Sleep(backoff_s(patience.retry, failures, patience.chance()))
        view = yield from ask(calls.upload(view.id), patience)
    if progress is not None:
        progress(ref.size_bytes, ref.size_bytes)
    return ref


def download(
    sha256: str, target: Path, patience: Patience, progress: Progress | None = None, size_bytes: int | None = None
) -> Operation[Path]:
    """Bring an artifact to `target`, which appears complete and verified or not at all.

    Bytes gather in a hidden file beside it, named by their hash: a later call goes on from there.
    """
    if target.is_dir():
        raise FileUnusable(f"{target} is a folder")
    with _gathering(target, sha256) as part:
        yield Work(part.rehash)
        leftover = part.have
        while True:
            if part.have != size_bytes:
                yield from _receive(sha256, part, patience, progress)
            if part.digest.hexdigest() == sha256:
                break
            part.restart()
            if not leftover:
                part.path.unlink(missing_ok=True)
                raise HashMismatch(f"artifact {sha256} came with other bytes; nothing was written to {target}")
            leftover = 0  # what lay there from an earlier call may have been the wrong part: once more, from nothing
        yield Work(part.sync)
        try:
            part.path.replace(target)
        except OSError as error:
            raise FileUnusable(f"cannot write {target}: {error.strerror}") from error
    return target


class _Part:
    """The bytes of a download that are here, in a file, with their running hash."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self.file = file
        self.have = 0
        self.digest = hashlib.sha256()

    def rehash(self) -> None:
        """Count and hash what an earlier call left."""
        self.file.seek(0)
        while data := self.file.read(_HASH_BYTES):
            self.digest.update(data)
            self.have += len(data)

    def add(self, data: bytes) -> None:
        """Append bytes. Raises FileUnusable."""
        try:
            self.file.write(data)
        except OSError as error:
            raise FileUnusable(f"cannot write {self.path}: {error.strerror}") from error
        self.digest.update(data)
        self.have += len(data)

    def restart(self) -> None:
        """Forget all bytes."""
        self.file.truncate(0)
        self.have = 0
        self.digest = hashlib.sha256()

    def sync(self) -> None:
        """Have the disk hold the bytes before the name does."""
        os.fsync(self.file.fileno())


def _receive(sha256: str, part: _Part, patience: Patience, progress: Progress | None) -> Operation[None]:
    failures = 0
    while True:
        cause: Interrupted | None = None
        answer: Answer | None = None
        before = part.have
        try:
            answer = yield Open(calls.artifact(sha256, part.have), READ_TIMEOUT_S)
            if answer.status in (200, 206):
                if (yield from _read_body(answer, part, progress)):
                    return
            elif answer.status == 416 and part.have:
                return  # all bytes are here already, or more than there should be: the hash will tell
            elif answer.status not in TRANSIENT:
                raise calls.problem(answer)
        except Interrupted as broken:
            cause = broken
        failures = 1 if part.have > before else failures + 1
        if failures >= patience.retry.attempts:
            if answer is not None and answer.status in TRANSIENT:
                raise calls.problem(answer)
            why = cause or "the connection keeps ending early"
            raise ConnectionFailed(f"{why}; {part.have} bytes of {sha256} are here") from cause
        yield Sleep(backoff_s(patience.retry, failures, patience.chance()))


def _read_body(answer: Answer, part: _Part, progress: Progress | None) -> Operation[bool]:
    """Take the bytes of one answer; whether they were all that it announced."""
    if answer.status == 200 and part.have:  # the range was ignored: from the start
        part.restart()
    total = part.have + int(answer.headers.get("content-length") or 0)
    while True:
        data: bytes = yield Read()
        if not data:
            return part.have >= total
        part.add(data)
        if part.have > limits.ARTIFACT_BYTES:
            raise TooLarge("the server sends more than an artifact can have")
        if progress is not None:
            progress(part.have, total)


@contextlib.contextmanager
def _gathering(target: Path, sha256: str) -> Iterator[_Part]:
    """The file in which bytes gather. Whoever finds it in use by another process takes one of its own."""
    path = target.with_name(f".{target.name[:60]}.{sha256[:16]}.part")
    own = False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = _open(path)
        if not _locked(file, path):
            file.close()
            own, path = True, path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
            file = _open(path)
    except OSError as error:
        raise FileUnusable(f"cannot write {target}: {error.strerror}") from error
    try:
        with file:
            yield _Part(path, file)
    finally:
        if own:
            path.unlink(missing_ok=True)


def _open(path: Path) -> IO[bytes]:
    # Never through a link, which someone else might have put there. Appending, because reading moves the position.
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    return io.FileIO(os.open(path, flags, 0o666), "r+b")


def _locked(file: IO[bytes], path: Path) -> bool:
    """Whether this process alone writes the file, and it is still the one of that name."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system; two downloads at once then fail their hash, no worse
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    """The progress of one part of a larger whole."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)
