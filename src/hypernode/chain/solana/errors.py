"""What can go wrong with a chain: a limb of the kernel's error tree (drawn in `kernel/errors.py`).

HypernodeError
├── InvalidInput
│   ├── IdlInvalid            an IDL cannot be read, or asks for what is not supported
│   ├── ValueUnfit            a value does not fit the type that the IDL gives it
│   └── AccountsUnresolved    an instruction's accounts cannot all be found
├── Refused
│   ├── RpcRefused            the node answered with an error
│   ├── TransactionFailed     the chain executed the transaction, and it failed; or it surely would
│   │   └── ProgramFailed     … with an error of a program
│   └── TransactionExpired    no block took it, and none ever will
├── Unavailable
│   ├── RpcUnreachable        no node answers
│   └── TransactionUndecided  nobody can say yet whether the chain took it; the same bytes may be followed further
└── InternalError
    └── RpcAnswerInvalid      an answer is not what the interface says
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypernode.kernel.errors import InternalError, InvalidInput, Refused, Unavailable

if TYPE_CHECKING:
    from hypernode.chain.solana.transactions import Signed


class IdlInvalid(InvalidInput):
    """The program's IDL cannot be used."""

    code = "chain.idl_invalid"


class ValueUnfit(InvalidInput):
    """A value does not fit the type that the program's IDL gives it, or bytes are not of that type."""

    code = "chain.value_unfit"


class AccountsUnresolved(InvalidInput):
    """Accounts of the instruction are missing; pass them by name."""

    code = "chain.accounts_unresolved"


class RpcRefused(Refused):
    """The chain's node refused the request."""

    code = "chain.rpc_refused"

    def __init__(self, detail: str, number: int, data: Any = None) -> None:
        """`number`: the node's own error code, `data` what it says besides."""
        super().__init__(detail, extra={"rpc_code": number})
        self.number, self.data = number, data


class TransactionFailed(Refused):
    """The transaction failed."""

    code = "chain.transaction_failed"

    def __init__(self, detail: str, *, signature: str | None, error: Any, logs: tuple[str, ...] = ()) -> None:
        """`signature` is None for one that was only simulated: it was not sent and cost nothing. `error`: as the node
        gives it."""
        extra = {"signature": signature} if signature is not None else {}
        super().__init__(detail, extra=extra)
        self.signature, self.error, self.logs = signature, error, logs


class ProgramFailed(TransactionFailed):
    """A program refused its instruction."""

    code = "chain.program_failed"

    def __init__(
        self,
        detail: str,
        *,
        signature: str | None,
        error: Any,
        logs: tuple[str, ...],
        program: str,
        number: int,
        name: str | None,
    ) -> None:
        """`program`: the address of the one whose error it is; `number` its code; `name` what its IDL calls it, where
        that is known."""
        super().__init__(detail, signature=signature, error=error, logs=logs)
        self.program, self.number, self.name = program, number, name
        self.extra |= {"program": program, "number": number, "name": name}


class TransactionExpired(Refused):
    """No block took the transaction, and none ever will; sending it anew is safe."""

    code = "chain.transaction_expired"
    retryable = True


class RpcUnreachable(Unavailable):
    """None of the chain's nodes answers."""

    code = "chain.rpc_unreachable"


class TransactionUndecided(Unavailable):
    """Nobody can say yet whether the chain took the transaction; follow it further, do not sign another."""

    code = "chain.transaction_undecided"

    def __init__(self, detail: str, signed: Signed) -> None:
        """`signed`: what may be sent again, and followed."""
        super().__init__(detail, extra={"signature": signed.signature, "last_valid_height": signed.last_valid_height})
        self.signed = signed


class RpcAnswerInvalid(InternalError):
    """A node's answer is not what its interface says."""

    code = "chain.rpc_answer_invalid"
