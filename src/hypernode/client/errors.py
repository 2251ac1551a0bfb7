"""What can go wrong on the client's own side: a limb of the kernel's error tree (drawn in `kernel/errors.py`).

    HypernodeError
    ├── InvalidInput
    │   ├── FileUnusable            a local file or folder cannot be read, written, or changed meanwhile
    │   ├── ConfigInvalid           the configuration file or environment cannot be used
    │   ├── CommandUnsupported      the command line is not one the network can run
    │   └── RequirementsUnresolvable
    ├── Refused
    │   └── CertificateUntrusted    whoever answers is not the coordinator it should be
    ├── Unavailable
    │   ├── ConnectionFailed        nobody answers, or the connection keeps breaking
    │   └── WaitTimeout             the job has not ended within the time the caller gave it
    └── InternalError
        └── AnswerInvalid           the answer is not what this version of the interface says

`Interrupted` is not part of the tree: it never leaves the client, it becomes a retry or one of the above.
"""

from __future__ import annotations

from hypernode.kernel.errors import InternalError, InvalidInput, Refused, Unavailable


class FileUnusable(InvalidInput):
    """A local file or folder cannot be used."""

    code = "client.file"


class ConfigInvalid(InvalidInput):
    """The client is not configured, or its configuration cannot be read."""

    code = "client.config"


class CommandUnsupported(InvalidInput):
    """The network cannot run this command line."""

    code = "client.command"


class RequirementsUnresolvable(InvalidInput):
    """The requirements cannot be resolved to a lock."""

    code = "requirements.unresolvable"


class CertificateUntrusted(Refused):
    """The server's certificate is not the expected one; nothing was sent to it."""

    code = "tls.untrusted"


class ConnectionFailed(Unavailable):
    """The coordinator cannot be reached."""

    code = "client.unreachable"


class WaitTimeout(Unavailable):
    """The job has not ended within the time given; it goes on."""

    code = "client.wait_timeout"


class AnswerInvalid(InternalError):
    """The server's answer is not what this version of the interface says."""

    code = "server.answer_invalid"


class Interrupted(Exception):
    """A connection broke. `sent` tells whether the server may have seen the request."""

    def __init__(self, detail: str, *, sent: bool) -> None:
        super().__init__(detail)
        self.sent = sent
