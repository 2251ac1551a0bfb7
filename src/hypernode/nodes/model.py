"""What a node is: its capabilities as it proved them, its ask, its state, and its enrolment."""

from __future__ import annotations

import base64
import enum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from hypernode.kernel import limits
from hypernode.kernel.errors import JoinTokenInvalid

ENROL_CONTEXT: Final = "node enrol v1"
"""Signature context: a node proves at enrolment that it holds its private key, over the join secret's SHA-256."""

NodeName = Annotated[
    str, Meta(min_length=1, max_length=limits.NODE_NAME_CHARS, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")
]
NO_NUL: Final = r"^[^\x00]*$"
"""PostgreSQL cannot keep NUL characters in a text."""
Text = Annotated[str, Meta(max_length=256, pattern=NO_NUL)]


class NodeState(enum.StrEnum):
    """Where a node is in its life, as the coordinators see it."""

    ENROLLED = "enrolled"  # known, never connected yet
    ONLINE = "online"
    DRAINING = "draining"  # finishes what it runs, takes nothing new
    OFFLINE = "offline"
    REVOKED = "revoked"  # its operator or an admin took its rights away


class GpuInfo(msgspec.Struct, frozen=True):
    """One GPU as the driver reports it."""

    model: Text
    vram_bytes: Annotated[int, Meta(ge=0, le=limits.MEMORY_BYTES)]


class Failure(msgspec.Struct, frozen=True):
    """A limit that the sandbox could not prove on this host, and what would mend it."""

    limit: Text
    remedy: Annotated[str, Meta(max_length=1024, pattern=NO_NUL)]


class SandboxOffer(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which a node runs jobs: a sandbox, the level it proved at start by attacking itself, and what of
    jobs was seen to run in it. A node may have several; a task runs in one that has all it asks for."""

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=NO_NUL)]
    isolation: Annotated[int, Meta(ge=0, le=3)]
    runtimes: Annotated[tuple[Text, ...], Meta(max_length=16)]
    egress: bool = False
    """Whether tasks can be given a way to the hosts they name, and to nothing else."""
    proved: Annotated[tuple[Text, ...], Meta(max_length=64)] = ()
    failed: Annotated[tuple[Failure, ...], Meta(max_length=64)] = ()


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a node offers. Amounts are what its owner lets jobs use, not what the machine has."""

    cpu_milli: Annotated[int, Meta(ge=0, le=limits.CPU_MILLI)]
    memory_bytes: Annotated[int, Meta(ge=0, le=limits.MEMORY_BYTES)]
    disk_bytes: Annotated[int, Meta(ge=0, le=limits.DISK_BYTES)]
    gpus: Annotated[tuple[GpuInfo, ...], Meta(max_length=limits.GPUS)] = ()
    slots: Annotated[int, Meta(ge=1, le=limits.NODE_LEASES)] = 1
    """Tasks it takes at once."""
    operating_system: Text = ""
    architecture: Text = ""
    cpu_model: Text = ""
    cpu_count: Annotated[int, Meta(ge=0, le=65536)] = 0
    python: Text = ""
    """Version of the interpreter jobs get, as in "3.11"."""
    sandboxes: Annotated[tuple[SandboxOffer, ...], Meta(max_length=8)] = ()
    """In the order in which the node prefers them."""
    labels: Annotated[dict[Text, Text], Meta(max_length=limits.LABELS)] = {}

    @property
    def isolation(self) -> int:
        """The best level any of its sandboxes proved; 0 without one."""
        return max((sandbox.isolation for sandbox in self.sandboxes), default=0)

    @property
    def runtimes(self) -> tuple[str, ...]:
        """What jobs may ask for, in any of its sandboxes."""
        return tuple(dict.fromkeys(runtime for sandbox in self.sandboxes for runtime in sandbox.runtimes))


class Ask(msgspec.Struct, frozen=True):
    """What a node wants: µHYPER per second of a running task, plus a fixed µHYPER per paid attempt."""

    rate_per_second: Annotated[int, Meta(ge=0, le=limits.MICRO_HYPER)]
    fixed: Annotated[int, Meta(ge=0, le=limits.MICRO_HYPER)] = 0


DEFAULT_ASK: Final = Ask(rate_per_second=100, fixed=0)
"""0.36 HYPER an hour: a small CPU node."""


class JoinToken(msgspec.Struct, frozen=True, array_like=True):
    """What an operator pastes into `hypernode node:init`: where the coordinators are, how to know they are the right
    ones, and a secret that enrols one node once.

    `fingerprint` is the SHA-256 of the coordinator's certificate (DER); empty where the certificate is one that the
    system's authorities vouch for, or where the address is plain http on loopback or behind a trusted proxy.
    """

    addresses: Annotated[tuple[Annotated[str, Meta(max_length=512)], ...], Meta(min_length=1, max_length=16)]
    fingerprint: Annotated[bytes, Meta(max_length=32)]
    secret: Annotated[str, Meta(min_length=16, max_length=256)]

    PREFIX = "hnjoin_"

    def text(self) -> str:
        """One line without spaces, safe to paste into a shell."""
        return self.PREFIX + base64.urlsafe_b64encode(msgspec.msgpack.encode(self)).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> JoinToken:
        """Raise JoinTokenInvalid for anything that `text()` did not make."""
        body = text.strip()
        if not body.startswith(cls.PREFIX) or len(body) > 4096:
            raise JoinTokenInvalid(f"a join token starts with {cls.PREFIX}; ask the coordinator's admin for one")
        body = body.removeprefix(cls.PREFIX)
        try:
            raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
            return msgspec.msgpack.decode(raw, type=cls)
        except ValueError as error:  # binascii.Error and msgspec's errors are ValueErrors
            raise JoinTokenInvalid("the join token is damaged; copy it again as one piece") from error


class EnrolRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node asks to be let in. `signature` (base64) is over the join secret's SHA-256, context ENROL_CONTEXT."""

    secret: Annotated[str, Meta(min_length=16, max_length=256)]
    public_key: Annotated[str, Meta(min_length=32, max_length=44)]
    name: NodeName
    signature: Annotated[bytes, Meta(max_length=64)]


class Enrolment(msgspec.Struct, frozen=True):
    """The coordinator's answer: whom the node earns for, and the coordinators' key that signs receipts."""

    node: str
    project_id: str
    project: str
    coordinator_key: str


class JoinTokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for a one-time join token for this project's nodes."""

    valid_s: Annotated[int, Meta(ge=60, le=30 * 24 * 3600)] = limits.JOIN_TOKEN_S


class JoinTokenView(msgspec.Struct, frozen=True):
    """A join token; shown once and never stored."""

    token: str
    expires_at: str


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """A node as its project or a client sees it. Times are RFC 3339 in UTC; amounts µHYPER."""

    node: str
    name: str
    state: NodeState
    own: bool
    """Whether it earns for the asking project."""
    capabilities: Capabilities | None
    ask: Ask | None
    enrolled_at: str
    last_seen_at: str | None
    running: int
    earned: int | None
    """µHYPER paid for this node's work; only its own project sees it."""


class NodePage(msgspec.Struct, frozen=True):
    """One page of nodes; `next` continues after it."""

    items: list[NodeView]
    next: str | None
