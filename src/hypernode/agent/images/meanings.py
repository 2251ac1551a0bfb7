"""What the tools that fetch images mean by what they say.

They themselves tell of the operator's network, so their words stay in the node's log; who submitted the job gets ours.
"""

from __future__ import annotations

from typing import Final

from hypernode.agent.sandboxes.base import ImageError
from hypernode.images.references import Reference


def meaning(reference: Reference, said: str, tool: str) -> ImageError:
    """What a tool's last words about an image mean."""
    lowered = said.lower()
    for words, code, what, job_fault in _MEANINGS:
        if any(word in lowered for word in words):
            return ImageError(code, f"{reference.registry} {what}", job_fault=job_fault)
    return ImageError("image.failed", f"{tool} could not fetch it from {reference.registry}; the node's log says why")


# In this order: what stands first is also said along with what follows.
_MEANINGS: Final = (
    (("file too large", "size mismatch"), "image.tampered", "gave more than the manifest says", False),
    (("no space left", "disk quota"), "image.failed", "gave more than this node's disk holds", False),
    (
        ("digest did not match", "does not match", "digest mismatch", "verification failed", "failed to verify digest"),
        "image.tampered",
        "gave something else than what the digest names",
        False,
    ),
    (
        (
            "unauthorized",
            "denied",
            "authentication required",
            "no basic auth",
            "forbidden",
            "invalid username/password",
        ),
        "image.denied",
        "has no such image, or wants another login for it",
        True,
    ),
    (
        ("manifest unknown", "name unknown", "blob unknown", "not found", "status 404"),
        "image.not_found",
        "has no such image, or not all of it any more",
        True,
    ),
    (
        ("unsupported", "unknown mediatype", "unrecognized", "foreign", "no matching manifest"),
        "image.unsupported",
        "has it in a form that cannot be used",
        True,
    ),
    (
        (
            *("no such host", "connection", "timeout", "server gave http response", "x509", "tls", "eof", "network is"),
            *("toomanyrequests", "too many requests", "status 5", "bad gateway", "service unavailable", "server error"),
        ),
        "image.registry_unreachable",
        "cannot be asked from this node",
        False,
    ),
)
