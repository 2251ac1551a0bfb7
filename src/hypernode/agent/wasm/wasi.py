"""The parts of WASI preview 1 in which two honest runs could differ, replaced by parts in which they cannot.

Runs inside the sandbox, on wasmtime and the standard library alone. Everything else of WASI is wasmtime's own: paths
are resolved by it, below its preopened folders only. What is replaced:

- clocks stand still; sleeping and polling return at once;
- random bytes are a stream made from the job's seed and the task's index, or are refused;
- files have no times, small inode numbers in the order in which they are first seen, no device; folders have no size;
- folders are listed in the order of their entries' names;
- a program may exit with any code, and there are no sockets.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from typing import Any, Final

import wasmtime

MODULE: Final = "wasi_snapshot_preview1"
REALTIME_NS: Final = 946_684_800 * 10**9
"""2000-01-01T00:00:00Z, always. Archives cannot hold dates before 1980, so not zero."""
RESOLUTION_NS: Final = 1_000_000

SUCCESS, EFAULT, EINVAL, ENAMETOOLONG, ENOTSUP = 0, 21, 28, 37, 58
FOLDER: Final = 3
"""The file type of a folder."""
PATH_BYTES: Final = 4096
SHIM_FUEL: Final = 1 << 40
STREAM_CONTEXT: Final = b"hypernode wasm random v1\0"

# wasmtime's WASI functions work on the memory that their caller exports. This caller's memory is ours, so that what
# they say can be read and mended before the program gets it.
_LIST_BYTES: Final = 1 << 20
_RESULT: Final = _LIST_BYTES
_SHIM: Final = f"""(module
  (import "{MODULE}" "fd_filestat_get" (func $stat (param i32 i32) (result i32)))
  (import "{MODULE}" "path_filestat_get" (func $at (param i32 i32 i32 i32 i32) (result i32)))
  (import "{MODULE}" "fd_readdir" (func $list (param i32 i32 i32 i64 i32) (result i32)))
  (memory (export "memory") 17)
  (func (export "stat") (param i32) (result i32) (call $stat (local.get 0) (i32.const {_RESULT})))
  (func (export "at") (param i32 i32 i32) (result i32)
    (call $at (local.get 0) (local.get 1) (i32.const 0) (local.get 2) (i32.const {_RESULT})))
  (func (export "list") (param i32 i64) (result i32)
    (call $list (local.get 0) (i32.const 0) (i32.const {_LIST_BYTES}) (local.get 1) (i32.const {_RESULT}))))"""


class Exited(Exception):
    """The program called proc_exit."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exited with {code}")
        self.code = code


class RandomStream:
    """Bytes that depend on the seed and the task's index only: SHA-256 of both and a counter, block after block."""

    def __init__(self, seed: int, task: int) -> None:
        self._prefix = STREAM_CONTEXT + seed.to_bytes(8, "big") + task.to_bytes(8, "big")
        self._blocks = 0
        self._rest = b""

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        made = [self._rest]
        have = len(self._rest)
        while have < count:
            made.append(hashlib.sha256(self._prefix + self._blocks.to_bytes(8, "big")).digest())
            self._blocks += 1
            have += 32
        whole = b"".join(made)
        self._rest = whole[count:]
        return whole[:count]


class RepeatableWasi:
    """Defines WASI in a linker, once per store. `link` before the module is instantiated."""

    def __init__(self, store: wasmtime.Store, random: RandomStream | None) -> None:
        self._store = store
        self._random = random
        self._plain: wasmtime.Linker | None = None
        self._shim: Any = None
        self._inodes: dict[int, int] = {}
        self._listings: dict[int, list[bytes]] = {}
        self._told = False

    def link(self, linker: wasmtime.Linker) -> None:
        """Define all of WASI preview 1."""
        linker.define_wasi()
        linker.allow_shadowing = True
        i32, i64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()
        for name, parameters, function in (
            ("clock_res_get", [i32, i32], self._clock_res_get),
            ("clock_time_get", [i32, i64, i32], self._clock_time_get),
            ("random_get", [i32, i32], self._random_get),
            ("poll_oneoff", [i32, i32, i32, i32], self._poll_oneoff),
            ("fd_filestat_get", [i32, i32], self._fd_filestat_get),
            ("path_filestat_get", [i32, i32, i32, i32, i32], self._path_filestat_get),
            ("fd_readdir", [i32, i32, i32, i64, i32], self._fd_readdir),
            ("sock_accept", [i32, i32, i32], self._refuse),
            ("sock_recv", [i32, i32, i32, i32, i32, i32], self._refuse),
            ("sock_send", [i32, i32, i32, i32, i32], self._refuse),
            ("sock_shutdown", [i32, i32], self._refuse),
        ):
            kind = wasmtime.FuncType(parameters, [i32])
            linker.define_func(MODULE, name, kind, _guarded(function), access_caller=True)
        linker.define_func(MODULE, "proc_exit", wasmtime.FuncType([i32], []), _exit)

    # ── clocks and chance ───────────────────────────────────────────────────────────────────────────────────────────

    def _clock_res_get(self, memory: _Memory, clock: int, result: int) -> int:
        if not 0 <= clock <= 3:
            return EINVAL
        memory.write(result, RESOLUTION_NS.to_bytes(8, "little"))
        return SUCCESS

    def _clock_time_get(self, memory: _Memory, clock: int, precision: int, result: int) -> int:
        if not 0 <= clock <= 3:
            return EINVAL
        memory.write(result, (REALTIME_NS if clock == 0 else 0).to_bytes(8, "little"))
        return SUCCESS

    def _random_get(self, memory: _Memory, start: int, count: int) -> int:
        if self._random is None:
            if not self._told:
                self._told = True
                sys.stderr.write("hypernode: random_get is refused: this job has no seed\n")
                sys.stderr.flush()
            return ENOTSUP
        start, count = start & 0xFFFFFFFF, count & 0xFFFFFFFF
        memory.check(start, count)  # before any of it is made: a count may be 4 GiB
        for offset in range(0, count, 1 << 16):
            memory.write(start + offset, self._random.take(min(1 << 16, count - offset)))
        return SUCCESS

    def _poll_oneoff(self, memory: _Memory, wanted: int, events: int, count: int, result: int) -> int:
        """Every event has happened: clocks stand still, and files are always ready."""
        wanted, events, count = wanted & 0xFFFFFFFF, events & 0xFFFFFFFF, count & 0xFFFFFFFF
        if count == 0:
            return EINVAL
        memory.check(wanted, count * 48)
        memory.check(events, count * 32)
        for index in range(count):
            subscription = memory.read(wanted + index * 48, 48)
            event = subscription[:8] + bytes(2) + subscription[8:9] + bytes(21)
            memory.write(events + index * 32, event)
        memory.write(result, count.to_bytes(4, "little"))
        return SUCCESS

    def _refuse(self, memory: _Memory, *_: int) -> int:
        return ENOTSUP

    # ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _fd_filestat_get(self, memory: _Memory, descriptor: int, result: int) -> int:
        error = self._call("stat", descriptor)
        if error == SUCCESS:
            memory.write(result, self._mended())
        return error

    def _path_filestat_get(
        self, memory: _Memory, descriptor: int, flags: int, path: int, length: int, result: int
    ) -> int:
        if length & 0xFFFFFFFF > PATH_BYTES:
            return ENAMETOOLONG
        text = memory.read(path, length)
        self._scratch().write(self._store, text, 0)
        error = self._call("at", descriptor, flags, length)
        if error == SUCCESS:
            memory.write(result, self._mended())
        return error

    def _fd_readdir(self, memory: _Memory, descriptor: int, start: int, room: int, cookie: int, result: int) -> int:
        room &= 0xFFFFFFFF
        memory.check(start, room)
        if cookie == 0 or descriptor not in self._listings:
            error = self._list(descriptor)
            if error != SUCCESS:
                return error
        listing = self._listings[descriptor]
        written = 0
        for number in range(cookie & 0xFFFFFFFFFFFFFFFF, len(listing)):
            entry = (number + 1).to_bytes(8, "little") + listing[number]
            part = entry[: room - written]
            memory.write(start + written, part)
            written += len(part)
            if len(part) < len(entry):
                break
        memory.write(result, written.to_bytes(4, "little"))
        return SUCCESS

    def _list(self, descriptor: int) -> int:
        """Read a whole folder, sort it, and keep it for the calls that continue."""
        found: list[tuple[bytes, bytes]] = []
        cookie = 0
        while True:
            error = self._call("list", descriptor, cookie)
            if error != SUCCESS:
                return error
            scratch = self._scratch()
            used = int.from_bytes(scratch.read(self._store, _RESULT, _RESULT + 4), "little")
            data = bytes(scratch.read(self._store, 0, used))
            at = 0
            while at + 24 <= len(data):
                length = int.from_bytes(data[at + 16 : at + 20], "little")
                name = data[at + 24 : at + 24 + length]
                if len(name) < length:
                    break
                inode = self._inode(int.from_bytes(data[at + 8 : at + 16], "little"))
                found.append((name, inode.to_bytes(8, "little") + data[at + 16 : at + 24] + name))
                cookie = int.from_bytes(data[at : at + 8], "little")
                at += 24 + length
            if used < _LIST_BYTES or at == 0:
                break
        self._listings[descriptor] = [entry for _, entry in sorted(found)]
        return SUCCESS

    def _mended(self) -> bytes:
        """The file's description that wasmtime has just left in the scratch memory, without what varies."""
        said = bytes(self._scratch().read(self._store, _RESULT, _RESULT + 64))
        inode = self._inode(int.from_bytes(said[8:16], "little"))
        links, size = (1).to_bytes(8, "little"), bytes(8)
        if said[16] != FOLDER:  # how large a folder is, and how often it is linked, is the file system's business
            links, size = said[24:32], said[32:40]
        times = REALTIME_NS.to_bytes(8, "little") * 3
        return bytes(8) + inode.to_bytes(8, "little") + said[16:17] + bytes(7) + links + size + times

    def _inode(self, real: int) -> int:
        return self._inodes.setdefault(real, len(self._inodes) + 1)

    def _instance(self) -> Any:
        if self._shim is None:  # few programs ask for it, and compiling takes a millisecond
            self._plain = wasmtime.Linker(self._store.engine)
            self._plain.define_wasi()
            module = wasmtime.Module(self._store.engine, _SHIM)
            self._shim = self._plain.instantiate(self._store, module).exports(self._store)
        return self._shim

    def _scratch(self) -> wasmtime.Memory:
        memory: wasmtime.Memory = self._instance()["memory"]
        return memory

    def _call(self, name: str, *arguments: int) -> int:
        """Call the shim, at nobody's expense: what the program pays must not depend on how this is done."""
        left = self._store.get_fuel()
        self._store.set_fuel(SHIM_FUEL)
        try:
            return int(self._instance()[name](self._store, *arguments))
        finally:
            self._store.set_fuel(left)


class _OutOfBounds(Exception):
    """The program named memory that it does not have."""


class _Memory:
    """The calling program's memory. Addresses are as they arrive, signed or not."""

    def __init__(self, caller: wasmtime.Caller) -> None:
        found = caller.get("memory")
        if not isinstance(found, wasmtime.Memory):
            raise wasmtime.WasmtimeError("the module exports no memory")
        self._memory = found
        self._caller = caller

    def check(self, start: int, count: int) -> None:
        if (start & 0xFFFFFFFF) + count > self._memory.data_len(self._caller):
            raise _OutOfBounds

    def read(self, start: int, count: int) -> bytes:
        self.check(start, count)
        start &= 0xFFFFFFFF
        return bytes(self._memory.read(self._caller, start, start + count)) if count else b""

    def write(self, start: int, data: bytes) -> None:
        self.check(start, len(data))
        if data:
            self._memory.write(self._caller, data, start & 0xFFFFFFFF)


def _guarded(function: Callable[..., int]) -> Callable[..., int]:
    def call(caller: wasmtime.Caller, *arguments: int) -> int:
        try:
            return function(_Memory(caller), *arguments)
        except _OutOfBounds:
            return EFAULT

    return call


def _exit(code: int) -> None:
    raise Exited(code & 0xFF)
