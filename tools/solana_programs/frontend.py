"""Stands where rustc expects a linker: turns the bitcode of a whole program into one eBPF object.

rustc's BPF target leaves code generation to its linker. This one hands the bitcode to LLVM through llvmlite, with the
options that Solana needs, and writes a plain object that `linker` makes both images of. What LLVM's BPF
backend cannot do it refuses loudly; the one thing it would refuse that Solana can do, copying memory of a length known
only at run time, becomes a syscall here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import llvmlite.binding as llvm

from .objects import LinkError

STACK_FRAME: Final = 4096
"""Bytes a function may use of the stack, as Solana's runtime has it; LLVM's own bound for eBPF is 512."""

INLINE_BYTES: Final = 128
"""Copies of a known length up to this become loads and stores; longer ones cost less as a syscall of 10 units."""

_ATTRIBUTE = re.compile(
    r"\b(noundef|nonnull|align \d+|captures\([^)]*\)|dereferenceable\(\d+\)|writeonly|readonly|readnone|nocapture"
    r"|noalias|range\([^)]*\))\s*"
)
_MEMORY_CALL = re.compile(
    r"(?:tail |musttail |notail )?call void @llvm\.(memcpy|memmove|memset)\.[\w.]+\((.*?), i1 (?:immarg )?false\)"
)


def memory_syscalls(assembly: str) -> str:
    """The same LLVM assembly with long and variable copies and fills made through Solana's syscalls."""
    used = set()

    def replace(match: re.Match[str]) -> str:
        kind = match[1]
        operands = [part.strip() for part in _ATTRIBUTE.sub("", match[2]).split(",")]
        length = re.fullmatch(r"i64 (\d+)", operands[2])
        if length is not None and int(length[1]) <= INLINE_BYTES:
            return match[0]
        used.add(kind)
        return f"call void @sol_{kind}_({', '.join(operands[:3])})"

    assembly = _MEMORY_CALL.sub(replace, assembly)
    declarations = (
        f"\ndeclare void @sol_{kind}_(ptr, {'i8' if kind == 'memset' else 'ptr'}, i64)"
        for kind in sorted(used)
        if f"@sol_{kind}_(" not in assembly.replace(f"call void @sol_{kind}_(", "")
    )
    return assembly + "".join(declarations)


def object_of(bitcode: bytes) -> bytes:
    """The eBPF object of a program's bitcode. Raises LinkError when LLVM finds the module invalid."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    llvm.set_option("frontend", f"-bpf-stack-size={STACK_FRAME}")
    try:
        module = llvm.parse_assembly(memory_syscalls(str(llvm.parse_bitcode(bitcode))))
        module.verify()
    except RuntimeError as error:
        raise LinkError(f"LLVM refuses the program's bitcode: {error}") from error
    machine = llvm.Target.from_triple("bpfel").create_target_machine(
        cpu="v2", features="+allows-misaligned-mem-access", opt=3
    )
    emitted: bytes = machine.emit_object(module)
    return emitted


def main(arguments: Sequence[str]) -> None:
    """Called by rustc as its linker: objects in, `-o` out."""
    out = Path(arguments[list(arguments).index("-o") + 1])
    modules = [Path(each).read_bytes() for each in arguments if each.endswith(".o")]
    bitcode = [module for module in modules if module[:2] == b"BC"]
    if len(bitcode) != 1:
        raise LinkError(f'rustc passed {len(bitcode)} modules of bitcode instead of one; is lto = "fat" set?')
    out.write_bytes(object_of(bitcode[0]))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except LinkError as error:
        sys.exit(f"frontend: {error}")
