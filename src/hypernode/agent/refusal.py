"""Why a node gives a lease back: the one exception that ends the work on a lease without a result."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from hypernode.agent.sandboxes.base import SandboxError
from hypernode.kernel.errors import HypernodeError, InternalError

CANCELLED = "cancelled"
STOPPING = "node.stopping"
RESTARTED = "node.restarted"
BUSY = "node.busy"
DISK_FULL = "node.disk_full"
OUTPUTS_LOST = "node.outputs_lost"
BAD_DOCUMENT = "job.bad_document"


class GiveBack(Exception):
    """The lease cannot be finished here. `job_fault`: it would be the same on every node."""

    def __init__(self, code: str, detail: str, *, job_fault: bool = False) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.job_fault = job_fault


@contextmanager
def giving_back() -> Iterator[None]:
    """Turn the errors that work on a lease may expect into GiveBack. Anything else is a bug and passes through."""
    try:
        yield
    except SandboxError as error:
        raise GiveBack(error.code, str(error)) from error
    except InternalError:
        raise  # our own fault, or a disk that fails: not something to go on after
    except HypernodeError as error:
        raise GiveBack(error.code, str(error)) from error
    except TimeoutError as error:
        raise GiveBack("node.too_slow", str(error) or "preparing took too long") from error
    except OSError as error:
        code = DISK_FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else "node.io_error"
        raise GiveBack(code, f"{error.strerror or error} ({type(error).__name__})") from error
