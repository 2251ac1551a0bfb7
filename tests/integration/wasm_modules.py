"""WebAssembly modules for tests, from text: no compiler is needed."""

from __future__ import annotations

import wasmtime

_TYPES = {"i": "i32", "l": "i64"}
_WASI = {
    "args_get": "ii",
    "args_sizes_get": "ii",
    "clock_time_get": "ili",
    "environ_get": "ii",
    "environ_sizes_get": "ii",
    "fd_filestat_get": "ii",
    "fd_read": "iiii",
    "fd_readdir": "iiili",
    "fd_write": "iiii",
    "path_filestat_get": "iiiii",
    "path_open": "iiiiillii",
    "path_symlink": "iiiii",
    "poll_oneoff": "iiii",
    "random_get": "ii",
    "sock_accept": "iii",
    "sock_send": "iiiii",
}
_HELPERS = """
  (memory (export "memory") 2)
  (func $put (param i32 i32)
    (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $say (param i32) (i32.store (i32.const 16) (local.get 0)) (call $put (i32.const 16) (i32.const 4)))
  (func $open (param i32 i32 i32 i32) (result i32) (local i64)
    (local.set 4 (select (i64.const 0x1fffffff) (i64.const 6) (local.get 3)))
    (call $path_open (local.get 0) (i32.const 1) (local.get 1) (local.get 2) (local.get 3)
      (local.get 4) (local.get 4) (i32.const 0) (i32.const 24)))
"""
"""put ADDRESS COUNT: bytes to stdout. say NUMBER: four bytes of it. open FOLDER PATH LENGTH FLAGS: the errno, and at 24
the descriptor; FLAGS 1 creates, 0 only reads."""


def module(body: str, *texts: str, functions: str = "") -> bytes:
    """A command whose `_start` is this. `$0`, `$1` … stand for the address and length of each of the texts, which lie
    from 4096 on; all of WASI that tests use is there by its own name, beside `$exit`."""
    data, at = "", 4096
    for number, text in enumerate(texts):
        raw = text.encode()
        data += f'  (data (i32.const {at}) "{"".join(f"{chr(92)}{byte:02x}" for byte in raw)}")\n'
        place = f"(i32.const {at}) (i32.const {len(raw)})"
        body, functions = body.replace(f"${number}", place), functions.replace(f"${number}", place)
        at += len(raw)
    imports = "".join(
        f'  (import "wasi_snapshot_preview1" "{name}" (func ${name} (param {" ".join(_TYPES[t] for t in kinds)})'
        " (result i32)))\n"
        for name, kinds in _WASI.items()
    )
    imports += '  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))\n'
    return compile_text(f'(module\n{imports}{_HELPERS}{data}{functions}\n  (func (export "_start") {body}))')


def compile_text(text: str) -> bytes:
    """Text as a binary module."""
    return bytes(wasmtime.wat2wasm(text))
