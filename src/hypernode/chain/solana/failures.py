"""What a failed transaction means, in the words of the programs it called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hypernode.chain.solana.errors import ProgramFailed, TransactionFailed
from hypernode.chain.solana.idl.program import Program

_FAILED: Final = re.compile(r"Program (\w{32,44}) failed: custom program error: 0x([0-9a-f]{1,8})")


def failure(
    error: Any,
    *,
    signature: str | None,
    logs: Sequence[str],
    called: Sequence[str],
    programs: Mapping[str, Program],
) -> TransactionFailed:
    """The exception for a transaction's error. `called`: the address of each instruction's program; `programs`: those
    whose IDL is known, by address.

    A custom code means something else in each program, and the one that gave it may be one that another called: the
    logs say which was the first to fail. Without logs it is taken for the instruction's own.
    """
    match error:
        case {"InstructionError": [int(index), {"Custom": int(number)}]}:
            program = _first_failed(logs, number) or (called[index] if index < len(called) else "")
            known = programs.get(program)
            meant = None if known is None else known.error(number)
            text = f"{meant.name}: {meant.msg}" if meant is not None else f"error {number}"
            return ProgramFailed(
                f"instruction {index}: {text} (program {program})",
                signature=signature,
                error=error,
                logs=tuple(logs),
                program=program,
                number=number,
                name=None if meant is None else meant.name,
            )
        case {"InstructionError": [int(index), reason]}:
            text = f"instruction {index}: {reason}"
        case _:
            text = str(error)
    return TransactionFailed(text[:500], signature=signature, error=error, logs=tuple(logs))


def _first_failed(logs: Sequence[str], number: int) -> str | None:
    for line in logs:
        found = _FAILED.fullmatch(line)
        if found is not None and int(found[2], 16) == number:
            return found[1]
    return None
