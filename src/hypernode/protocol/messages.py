"""The messages between a coordinator and a node: MessagePack over one WebSocket the node opened.

A binary frame is an array of messages. Every message is an array whose first element is its tag. Both sides bound
frames (`limits.FRAME_BYTES`) before decoding and decode into these structs only.

    coordinator                                   node
    Challenge(nonce)                 ───────────►
                                     ◄───────────  Hello(signature over nonce, capabilities, leases it holds)
    Welcome(session, drop)           ───────────►
    Lease · Cancel · Drop            ───────────►
    LogAck · ReportAck               ───────────►
                                     ◄───────────  Heartbeat · Running · Log · Report · Refuse · Drain
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from hypernode.kernel import limits
from hypernode.kernel.errors import Malformed, TooLarge
from hypernode.nodes.model import NO_NUL, Ask, Capabilities

VERSION: Final = 1
PATH: Final = "/api/v1/nodes/connect"
HELLO_CONTEXT: Final = "node hello v1"
LEASE_TOKEN_CONTEXT: Final = "lease token v1"

Sha256 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Epoch = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Offset = Annotated[int, Meta(ge=0, le=limits.LOG_BYTES)]
Amount = Annotated[int, Meta(ge=0, le=limits.MICRO_HYPER)]
"""In µHYPER."""
Text = Annotated[str, Meta(max_length=1024)]


class LeaseRef(msgspec.Struct, frozen=True, array_like=True):
    """Which attempt is meant. Whoever names an older epoch than the current one is refused."""

    job_id: Annotated[bytes, Meta(min_length=16, max_length=16)]
    """The 16 bytes of the job's UUID."""
    task: Annotated[int, Meta(ge=0, lt=limits.ARRAY_TASKS)]
    epoch: Epoch


class _Message(msgspec.Struct, frozen=True, array_like=True):
    """Base of all messages: the tag comes first in the array."""


# ── coordinator → node ──────────────────────────────────────────────────────────────────────────────────────────────


class Challenge(_Message, frozen=True, tag="challenge"):
    """First message on a connection: prove who you are by signing this fresh nonce."""

    version: int
    nonce: Annotated[bytes, Meta(min_length=32, max_length=32)]
    coordinator_key: Annotated[str, Meta(max_length=44)]


class Welcome(_Message, frozen=True, tag="welcome"):
    """The node is connected. `drop` lists leases it said it holds but no longer does."""

    session: Annotated[bytes, Meta(max_length=16)]
    lease_ms: int
    heartbeat_ms: int
    drop: tuple[LeaseRef, ...]


class RegistryLogin(msgspec.Struct, frozen=True, array_like=True):
    """What a node shows an image registry. Never written down, and not shown by `repr`."""

    username: Annotated[str, Meta(max_length=256)]
    password: Annotated[str, Meta(max_length=limits.SECRET_CHARS)]

    def __repr__(self) -> str:
        return "RegistryLogin(…)"


class Lease(_Message, frozen=True, tag="lease"):
    """Run this task. `document` is the canonical job document; `registry` opens the registry of a private image."""

    lease: LeaseRef
    document: Annotated[bytes, Meta(max_length=limits.DOCUMENT_BYTES)]
    remaining_cap: int
    registry: RegistryLogin | None = None


class Cancel(_Message, frozen=True, tag="cancel"):
    """The client cancelled: end the task and report what it used."""

    lease: LeaseRef


class Drop(_Message, frozen=True, tag="drop"):
    """The lease is gone: end the task and forget it. A node that has a complete report of it sends that once more,
    since an acknowledgement may have got lost; it is answered in any case."""

    lease: LeaseRef
    code: Text


class LogAck(_Message, frozen=True, tag="log_ack"):
    """The coordinator has this many bytes of the attempt's log. Fewer than before mean: go on from here."""

    lease: LeaseRef
    offset: Offset


class ReportAck(_Message, frozen=True, tag="report_ack"):
    """A Report is settled (`code` empty) or refused for good (`code` says why), or a Refuse was heard (`code` is its
    own); either way the node may forget the lease. Every Report and Refuse is answered."""

    lease: LeaseRef
    code: Text
    price: Amount = 0
    earned: Amount = 0


class Closing(_Message, frozen=True, tag="closing"):
    """The coordinator ends the connection. `retry` false means that coming back will not help."""

    code: Text
    detail: Text
    retry: bool


# ── node → coordinator ──────────────────────────────────────────────────────────────────────────────────────────────


class Hello(_Message, frozen=True, tag="hello"):
    """Who is there, proved by `signature` over `hello_bytes`; what it offers; what it still holds or has to report."""

    version: int
    node_key: Annotated[str, Meta(max_length=44)]
    agent_version: Annotated[str, Meta(max_length=64, pattern=NO_NUL)]
    capabilities: Capabilities
    ask: Ask
    holds: Annotated[tuple[LeaseRef, ...], Meta(max_length=limits.NODE_LEASES)]
    signature: Annotated[bytes, Meta(max_length=64)]
    draining: bool = False


class Heartbeat(_Message, frozen=True, tag="heartbeat"):
    """Still alive, with these leases; `running` are those whose process is running now (evidence for billing)."""

    leases: Annotated[tuple[LeaseRef, ...], Meta(max_length=limits.NODE_LEASES)]
    running: Annotated[tuple[LeaseRef, ...], Meta(max_length=limits.NODE_LEASES)]


class Running(_Message, frozen=True, tag="running"):
    """Preparation is over: the task's process has started."""

    lease: LeaseRef


class Log(_Message, frozen=True, tag="log"):
    """Bytes of the attempt's log file from `offset` on. Sending the same bytes again is harmless."""

    lease: LeaseRef
    offset: Offset
    data: Annotated[bytes, Meta(max_length=limits.LOG_CHUNK_BYTES)]


class Report(_Message, frozen=True, tag="report"):
    """The attempt has ended: a receipt body in canonical form, and the node's signature over it. All its log and
    outputs have been delivered before. Repeated until acknowledged."""

    lease: LeaseRef
    body: Annotated[bytes, Meta(max_length=limits.RECEIPT_BYTES)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


class Refuse(_Message, frozen=True, tag="refuse"):
    """The node cannot finish this lease for a reason that is not the job's fault (`job_fault` false: try elsewhere),
    or that would be the same on every node (`job_fault` true: such as a lock that no index can satisfy). Repeated until
    acknowledged."""

    lease: LeaseRef
    code: Annotated[str, Meta(max_length=64)]
    detail: Annotated[str, Meta(max_length=4096)]
    job_fault: bool = False


class Drain(_Message, frozen=True, tag="drain"):
    """Send nothing new; what runs will be finished."""


CoordinatorMessage = Challenge | Welcome | Lease | Cancel | Drop | LogAck | ReportAck | Closing
NodeMessage = Hello | Heartbeat | Running | Log | Report | Refuse | Drain

MAX_BATCH: Final = limits.MESSAGES_PER_FRAME
MAX_BATCH_BYTES: Final = limits.FRAME_BYTES - limits.DOCUMENT_BYTES - limits.MIB
"""Who fills a frame stops here, so that one more message of any kind still fits."""

_encoder = msgspec.msgpack.Encoder()
_from_coordinator = msgspec.msgpack.Decoder(
    Annotated[list[CoordinatorMessage], Meta(max_length=limits.MESSAGES_PER_FRAME)]
)
_from_node = msgspec.msgpack.Decoder(Annotated[list[NodeMessage], Meta(max_length=limits.MESSAGES_PER_FRAME)])


def encode(messages: list[CoordinatorMessage] | list[NodeMessage]) -> bytes:
    """One frame."""
    return _encoder.encode(messages)


def decode_from_node(frame: bytes) -> list[NodeMessage]:
    """The messages of a frame a node sent. Raises TooLarge or Malformed."""
    return _decode(_from_node, frame)


def decode_from_coordinator(frame: bytes) -> list[CoordinatorMessage]:
    """The messages of a frame a coordinator sent. Raises TooLarge or Malformed."""
    return _decode(_from_coordinator, frame)


def _decode(decoder: msgspec.msgpack.Decoder, frame: bytes) -> list:  # type: ignore[type-arg]
    if len(frame) > limits.FRAME_BYTES:
        raise TooLarge(f"a frame of {len(frame)} bytes is larger than {limits.FRAME_BYTES}")
    try:
        messages: list = decoder.decode(frame)  # type: ignore[type-arg]
        return messages
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not a frame of this protocol: {error}") from error


def hello_bytes(challenge: Challenge, node_key: str, capabilities: Capabilities, ask: Ask, draining: bool) -> bytes:
    """What a node signs to connect. The nonce makes it useless to replay, the coordinator's key to relay elsewhere."""
    return _encoder.encode(
        [challenge.version, challenge.nonce, challenge.coordinator_key, node_key, capabilities, ask, draining]
    )
