"""A node's home: one private folder with its key, its configuration, its journal and its stores.

    node.key          the node's private key (32 bytes in hex), readable by its owner only
    config.json       who and where: name, coordinators, ask, the owner's policy
    certificate.pem   the coordinator's pinned certificate, when the join token named a fingerprint
    journal.sqlite    leases and finished results until a coordinator has acknowledged them
    agent.log         the agent's own log, rotated; a job's output never goes into it
    agent.pid, control.sock, lock      of the agent that runs now
    store/            artifacts/ environments/ spool/ logs/ sandbox/ wasm/

Two nodes on one machine have two homes; one home has at most one agent, which the lock guarantees.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from hypernode.files import write_private
from hypernode.images.reach import Reach
from hypernode.kernel import limits
from hypernode.kernel.errors import Conflict, InvalidInput, Refused
from hypernode.kernel.keys import KeyPair
from hypernode.nodes.model import DEFAULT_ASK, Ask, NodeName, Text

CONFIG_BYTES = 256 * limits.KIB


class HomeInUse(Conflict):
    """Another agent runs in this home; stop it with `hypernode node:stop`, or give this node a home of its own."""

    code = "node.home_in_use"


class NotANode(Refused):
    """This home holds no node yet; make one with `hypernode node:init`."""

    code = "node.not_initialised"


class AlreadyANode(Conflict):
    """This home already holds a node."""

    code = "node.already_initialised"


class HomeDamaged(InvalidInput):
    """A file of this home cannot be used."""

    code = "node.home_damaged"


SandboxName = Annotated[
    str, Meta(max_length=64, pattern=r"^(bubblewrap|process|(docker|podman)(/[A-Za-z0-9][A-Za-z0-9._-]*)?)$(?!\n)")
]
"""A sandbox as `node:doctor` names it; an engine alone stands for all its OCI runtimes."""
Percent = Annotated[int, Meta(ge=1, le=100)]


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much of the machine its owner lends. Percentages of what the machine has (disk: of what is free)."""

    cpu_percent: Percent = 100
    memory_percent: Percent = 80
    disk_percent: Percent = 50
    slots: Annotated[int, Meta(ge=1, le=limits.NODE_LEASES)] | None = None
    """Tasks at once; none: as many as the machine has cores."""
    cache_bytes: Annotated[int, Meta(ge=64 * limits.MIB, le=limits.DISK_BYTES)] = 10 * limits.GIB
    """Most bytes kept of inputs and, each separately, of environments, compiled modules and images, for the next
    job."""
    sandboxes: Annotated[tuple[SandboxName, ...], Meta(min_length=1, max_length=8)] = (
        "bubblewrap",
        "docker",
        "podman",
        "process",
    )
    """What jobs may run in, of what the machine turns out to have."""
    registries: Annotated[tuple[Text, ...], Meta(max_length=64)] = ()
    """Image registries that may be used though they have private addresses: `host`, `host:port`, or
    `http://host:port` for one without encryption; `*` stands for any port."""
    egress: bool = True
    """Whether jobs that ask for it may reach the hosts they name in the public internet, from this machine's
    address."""

    def __post_init__(self) -> None:
        Reach(self.registries)  # raises ValueError for what is none

    def allows(self, sandbox: str) -> bool:
        """Whether jobs may run in the sandbox of this name."""
        return sandbox in self.sandboxes or sandbox.partition("/")[0] in self.sandboxes


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `node:init` learned and the owner may edit (ask, policy, labels) while the agent is stopped."""

    version: Annotated[int, Meta(ge=1, le=1)] = 1
    name: NodeName
    addresses: Annotated[tuple[Annotated[str, Meta(max_length=512)], ...], Meta(min_length=1, max_length=16)]
    pinned: bool
    """Whether certificate.pem is the only certificate to trust."""
    insecure_http: bool = False
    """Whether plain http is allowed beyond loopback, because a proxy of the owner's encrypts it."""
    coordinator_key: str
    project_id: str
    project: str
    ask: Ask = DEFAULT_ASK
    policy: Policy = Policy()
    labels: Annotated[dict[Text, Text], Meta(max_length=limits.LABELS)] = {}


class Home:
    """The paths of one home, and the few operations on its files. Creates nothing until asked to."""

    STORES: ClassVar = ("artifacts", "environments", "spool", "logs", "sandbox", "wasm")

    def __init__(self, path: Path | None = None) -> None:
        self.path = (path or default_path()).expanduser().absolute()
        self.key_file = self.path / "node.key"
        self.config_file = self.path / "config.json"
        self.certificate_file = self.path / "certificate.pem"
        self.journal_file = self.path / "journal.sqlite"
        self.log_file = self.path / "agent.log"
        self.pid_file = self.path / "agent.pid"
        self.control_file = self.path / "control.sock"
        self.lock_file = self.path / "lock"
        self.store = self.path / "store"
        self.artifacts, self.environments, self.spool, self.logs, self.sandbox, self.wasm = (
            self.store / name for name in self.STORES
        )

    def create(self) -> None:
        """Make the folders, private to their owner. Raises HomeDamaged where that is impossible."""
        try:
            for folder in (self.path, self.store, *(self.store / name for name in self.STORES)):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
        except OSError as error:
            raise HomeDamaged(f"cannot make the node's home {self.path}: {error.strerror}") from error

    @property
    def initialised(self) -> bool:
        """Whether a node lives here."""
        return self.config_file.exists()

    def require(self) -> None:
        """Raise NotANode unless a node lives here."""
        if not self.initialised:
            raise NotANode(f"{self.path} holds no node; make one with `hypernode node:init TOKEN`")

    def key(self) -> KeyPair:
        """The node's key. Raises HomeDamaged if it is missing, unreadable, or readable by others."""
        try:
            if self.key_file.stat().st_mode & 0o077:
                raise HomeDamaged(f"{self.key_file} can be read by others; run: chmod 600 {self.key_file}")
            return KeyPair(bytes.fromhex(self.key_file.read_text("ascii")))
        except (OSError, ValueError) as error:
            raise HomeDamaged(f"cannot read the node's key {self.key_file}: {error}") from error

    def key_or_new(self) -> KeyPair:
        """The key that is here, or a new one, stored before it is used."""
        if self.key_file.exists():
            return self.key()
        key = KeyPair.generate()
        self.write(self.key_file, key.seed.hex().encode())
        return key

    def config(self) -> Config:
        """The configuration. Raises NotANode, or HomeDamaged naming the field that is wrong."""
        self.require()
        try:
            data = self.config_file.read_bytes()[:CONFIG_BYTES]
            return msgspec.json.decode(data, type=Config)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HomeDamaged(f"{self.config_file}: {error}") from error

    def write_config(self, config: Config) -> None:
        """Replace the configuration, whole or not at all."""
        self.write(self.config_file, msgspec.json.format(msgspec.json.encode(config)) + b"\n")

    def write(self, path: Path, data: bytes) -> None:
        """Replace a file whole or not at all, durable on return, readable by its owner only."""
        write_private(path, data)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold this home. The kernel gives the lock up with the process, however that ends. Raises HomeInUse."""
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
                raise HomeInUse(f"another agent{self._holder()} runs in {self.path}") from error
            self.write(self.pid_file, str(os.getpid()).encode())
            yield
            self.pid_file.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    def in_use(self) -> bool:
        """Whether an agent holds this home now."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _holder(self) -> str:
        try:
            return f" (pid {int(self.pid_file.read_text())})"
        except (OSError, ValueError):
            return ""


def default_path() -> Path:
    """$HYPERNODE_HOME/node, or ~/.hypernode/node."""
    base = os.environ.get("HYPERNODE_HOME")
    return (Path(base) if base else Path.home() / ".hypernode") / "node"


def default_name() -> str:
    """This machine's name with what a node's name may not contain replaced."""
    raw = socket.gethostname().split(".", 1)[0][: limits.NODE_NAME_CHARS]
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in raw).lstrip("._-")
    return name or "node"
