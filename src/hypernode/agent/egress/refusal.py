"""What the proxy answers where it lets nothing through."""

from __future__ import annotations


class Refused(Exception):
    """A connection that is not made. `status` is HTTP's; `code` is stable; the message is one line of ASCII.

    Codes: `egress.bad_request`, `egress.too_large` and `egress.too_slow` (the request's head), `egress.not_allowed`
    (not among the job's destinations), `egress.not_public` (the name leads to no address of the public internet, or
    doesn't exist), `egress.used_up` (the job's `egress_bytes`), `egress.lookup_failed`, `egress.unreachable`,
    `egress.timeout` (the host does not answer), `egress.busy` (this node has too much open).
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    @property
    def answer(self) -> bytes:
        """The whole HTTP answer. The reason is in the status line as well: clients show that, and drop the rest."""
        line = f"{self.code}: {self}".encode("ascii", "replace")
        head = b"HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        return head % (self.status, line, len(line) + 1) + line + b"\n"
