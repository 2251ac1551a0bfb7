"""Receipts: what a node signs about one attempt, what the coordinator countersigns, and how anyone checks both.

A receipt has two halves. `work` is what any honest run of the same task would say: its SHA-256, the work id, holds
nothing that varies between runs. `run` is how it went this time: who, which attempt, how long. The node signs the
canonical bytes of both; the coordinator signs those bytes together with what it decided (billing and split).
"""

from __future__ import annotations

import enum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from hypernode.kernel import keys, limits
from hypernode.kernel.canonical import SHA256_PATTERN, ContentId, canonical, content_id
from hypernode.kernel.errors import BadSignature, Malformed

NODE_CONTEXT: Final = "receipt node v1"
COORDINATOR_CONTEXT: Final = "receipt coordinator v1"

Sha256 = Annotated[str, Meta(pattern=SHA256_PATTERN, min_length=64, max_length=64)]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class Outcome(enum.StrEnum):
    """How the job's own process ended, as the node's sandbox saw it."""

    EXITED = "exited"  # by itself; see exit_code
    SIGNALLED = "signalled"  # killed by a signal that was not ours
    OUT_OF_MEMORY = "out_of_memory"
    OUT_OF_FUEL = "out_of_fuel"  # a WebAssembly task used up the fuel that its job allows
    TIMEOUT = "timeout"
    LOG_LIMIT = "log_limit"
    OUTPUT_LIMIT = "output_limit"  # too many, too large or impossible outputs
    OUTPUT_MISSING = "output_missing"  # exited with 0, but a declared output is not there
    CANCELLED = "cancelled"  # by the client, while running


class OutputFile(msgspec.Struct, frozen=True):
    """One collected output."""

    path: Annotated[str, Meta(min_length=1, max_length=limits.PATH_CHARS)]
    sha256: Sha256
    size_bytes: Annotated[int, Meta(ge=0, le=limits.ARTIFACT_BYTES)]


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: the same for every honest run of a deterministic task."""

    job: Sha256
    """Content id of the job document, which names the inputs by their hashes."""
    task: Count
    """Index in the array; 0 where there is none."""
    outcome: Outcome
    exit_code: Annotated[int, Meta(ge=0, le=255)] | None
    signal: Annotated[int, Meta(ge=1, le=128)] | None
    outputs: Annotated[tuple[OutputFile, ...], Meta(max_length=limits.OUTPUT_FILES)]


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes between a task and the hosts it was let out to, as the node's proxy carried them."""

    sent_bytes: Count
    received_bytes: Count


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How this run went. Times are the node's clock and only advisory; what is paid goes by the coordinator's.

    A field that does not apply is left out of the signed bytes.
    """

    job_id: Annotated[str, Meta(max_length=36)]
    epoch: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    node: Annotated[str, Meta(max_length=44)]
    started_at_ms: Count
    ended_at_ms: Count
    wall_ms: Count
    cpu_ms: Count
    memory_peak_bytes: Count
    log_bytes: Annotated[int, Meta(ge=0, le=limits.LOG_BYTES)]
    log_root: Sha256
    """SHA-256 of the attempt's log file as the node sent it."""
    sandbox: Annotated[str, Meta(max_length=64)]
    isolation: Annotated[int, Meta(ge=0, le=3)]
    fuel: Count | None = None
    """What a WebAssembly task used up: equal for equal work under the engine that `sandbox` names. Left out for other
    runtimes, and where the task was killed."""
    egress: Traffic | None = None
    """Left out where the job asks for no network."""


class ReceiptBody(msgspec.Struct, frozen=True, kw_only=True):
    """What the node signs, in canonical form."""

    version: Annotated[int, Meta(ge=1, le=1)] = 1
    work: Work
    run: Run


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets what of a price, in µHYPER. The parts sum to the price, always."""

    price: Count
    operator: Count
    treasury: Count
    incentive: Count
    stakers: Count


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the coordinator decided about the node's statement; signed over the node's bytes and this."""

    accepted_at_ms: Count
    billed_ms: Count
    rate_per_second: Count
    fixed: Count
    split: Split
    coordinator: Annotated[str, Meta(max_length=44)]


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A complete receipt, as it is kept and handed out. Signatures are base64 in JSON."""

    body: ReceiptBody
    node_signature: bytes
    decision: Decision
    coordinator_signature: bytes


def work_id(work: Work) -> ContentId:
    """SHA-256 of the half that does not vary between honest runs."""
    return content_id(canonical(work))


def encode_body(body: ReceiptBody) -> bytes:
    """The bytes a node signs."""
    return canonical(body)


def decode_body(data: bytes) -> ReceiptBody:
    """A node's statement. Raises Malformed unless `data` is exactly the canonical form of a receipt body, so that
    nothing can be signed that a verifier would read differently."""
    if len(data) > limits.RECEIPT_BYTES:
        raise Malformed(f"a receipt of {len(data)} bytes is larger than {limits.RECEIPT_BYTES}")
    try:
        body = msgspec.json.decode(data, type=ReceiptBody)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"not a receipt: {error}") from error
    if encode_body(body) != data:
        raise Malformed("the receipt is not in canonical form")
    return body


def encode_decision(decision: Decision) -> bytes:
    """The canonical bytes of a decision."""
    return canonical(decision)


def countersigned(body: bytes, decision: bytes) -> bytes:
    """The bytes the coordinator signs: the node's statement by hash, and the decision, both given as their canonical
    bytes. They are the canonical JSON of an object with the two as `body` and `decision`."""
    return b'{"body":"%b","decision":%b}' % (content_id(body).encode(), decision)


def verify(receipt: Receipt, node_key: str | None = None, coordinator_key: str | None = None) -> None:
    """Check a receipt with public keys alone: both signatures, that the signers are who the receipt says (and who you
    expect, if you name them), and that the split sums to the price. Raises BadSignature."""
    body = encode_body(receipt.body)
    if node_key is not None and node_key != receipt.body.run.node:
        raise BadSignature(f"the receipt is from node {receipt.body.run.node}, not from {node_key}")
    if coordinator_key is not None and coordinator_key != receipt.decision.coordinator:
        raise BadSignature(
            f"the receipt is from coordinator {receipt.decision.coordinator}, not from {coordinator_key}"
        )
    keys.verify(receipt.body.run.node, NODE_CONTEXT, body, receipt.node_signature)
    keys.verify(
        receipt.decision.coordinator,
        COORDINATOR_CONTEXT,
        countersigned(body, encode_decision(receipt.decision)),
        receipt.coordinator_signature,
    )
    split = receipt.decision.split
    if split.operator + split.treasury + split.incentive + split.stakers != split.price:
        raise BadSignature("the split does not sum to the price")
