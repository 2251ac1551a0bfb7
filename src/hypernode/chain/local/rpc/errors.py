"""The errors of the interface, with the codes and texts of Agave (`rpc-client-api/src/custom_error.rs`), which clients
look for, and JSON-RPC's own."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final


class RpcError(Exception):
    """What a request is answered with instead of a result."""

    code: ClassVar[int] = -32603

    def __init__(self, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.message, self.data = message, data


class ParseError(RpcError):
    """The body is not JSON."""

    code = -32700


class InvalidRequest(RpcError):
    """The JSON is no request."""

    code = -32600


class MethodNotFound(RpcError):
    """There is no such method."""

    code = -32601


class InvalidParams(RpcError):
    """The parameters cannot be right."""

    code = -32602


class PreflightFailure(RpcError):
    """The transaction would fail; it was not sent. `data` has its error and its logs."""

    code = -32002


class SignatureFailure(RpcError):
    """A signature is not that of its account over this message."""

    code = -32003


class BlockNotAvailable(RpcError):
    """The block does not exist yet, or is forgotten."""

    code = -32004


class UnsupportedVersion(RpcError):
    """The transaction is of a version that the caller did not say it can read."""

    code = -32015


class ContextNotReached(RpcError):
    """The slot that the caller wants to be reached is still to come."""

    code = -32016


_TRANSACTION_TEXTS: Final = {
    "AccountNotFound": "Attempt to debit an account but found no record of a prior credit.",
    "ProgramAccountNotFound": "Attempt to load a program that does not exist",
    "InsufficientFundsForFee": "Insufficient funds for fee",
    "InvalidAccountForFee": "This account may not be used to pay transaction fees",
    "AlreadyProcessed": "This transaction has already been processed",
    "BlockhashNotFound": "Blockhash not found",
    "SignatureFailure": "Transaction did not pass signature verification",
    "InvalidProgramForExecution": "This program may not be used for executing instructions",
    "SanitizeFailure": "Transaction failed to sanitize accounts offsets correctly",
    "AddressLookupTableNotFound": "Transaction loads an address table account that doesn't exist",
    "InvalidAddressLookupTableIndex": "Transaction address table lookup uses an invalid index",
    "UnsupportedVersion": "Transaction version is unsupported",
}
_INSTRUCTION_TEXTS: Final = {
    "GenericError": "generic instruction error",
    "InvalidArgument": "invalid program argument",
    "InvalidInstructionData": "invalid instruction data",
    "InvalidAccountData": "invalid account data for instruction",
    "AccountDataTooSmall": "account data too small for instruction",
    "InsufficientFunds": "insufficient funds for instruction",
    "IncorrectProgramId": "incorrect program id for instruction",
    "MissingRequiredSignature": "missing required signature for instruction",
    "AccountAlreadyInitialized": "instruction requires an uninitialized account",
    "UninitializedAccount": "instruction requires an initialized account",
    "UnbalancedInstruction": "sum of account balances before and after instruction do not match",
    "PrivilegeEscalation": "Cross-program invocation with unauthorized signer or writable account",
    "ProgramFailedToComplete": "Program failed to complete",
    "ComputationalBudgetExceeded": "Computational budget exceeded",
    "NotEnoughAccountKeys": "insufficient account keys for instruction",
    "MissingAccount": "An account required by the instruction is missing",
    "InvalidAccountOwner": "Invalid account owner",
    "IllegalOwner": "Provided owner is not allowed",
    "AccountNotRentExempt": "An account does not have enough lamports to be rent-exempt",
    "ArithmeticOverflow": "Program arithmetic overflowed",
    "UnsupportedProgramId": "Unsupported program id",
    "InvalidSeeds": "Provided seeds do not result in a valid address",
}


def describe(error: Any) -> str:
    """A transaction's error, in the JSON form of Agave, as Agave words it; rarer ones in the words of their name."""
    match error:
        case {"InstructionError": [int(index), {"Custom": int(code)}]}:
            return f"Error processing Instruction {index}: custom program error: {code:#x}"
        case {"InstructionError": [int(index), str(name)]}:
            return f"Error processing Instruction {index}: {_INSTRUCTION_TEXTS.get(name) or _words(name)}"
        case {"InstructionError": [int(index), dict(other)]}:
            return f"Error processing Instruction {index}: {_words(next(iter(other), 'unknown error'))}"
        case {"InsufficientFundsForRent": {"account_index": index}}:
            return f"Transaction results in an account ({index}) with insufficient funds for rent"
        case str():
            return _TRANSACTION_TEXTS.get(error) or _words(error)
        case dict():
            return _words(next(iter(error), "unknown error"))
        case _:
            return str(error)


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()
