"""How an error looks to a person: what happened, its code, and what to do next. Nothing here is a traceback."""

from __future__ import annotations

import sys
from typing import Final

from hypernode.cli.common import clean
from hypernode.kernel.errors import HypernodeError

EXIT_ERROR: Final = 2
EXIT_TIMEOUT: Final = 124

HINTS: Final = {
    "auth.required": "set HYPERNODE_API_KEY, or choose a context with 'hypernode use'",
    "auth.forbidden": "this key's project may not do that; see 'hypernode whoami'",
    "case.not_on_panel": "'hypernode gov case show ID' lists who was drawn",
    "case.state": "'hypernode gov case show ID' shows where it is, and until when",
    "client.config": "'hypernode up' starts a network here and configures this client",
    "client.unreachable": "check that the coordinator runs and the address is right (see 'hypernode contexts')",
    "client.wait_timeout": "'hypernode job ID' shows where it is",
    "fund.too_small": "'hypernode supply' shows what every fund holds",
    "governance.too_early": "the coordinator does by itself what time decides, soon after it may be done",
    "image.denied": "set the secret anew with 'hypernode secret:set', and name it with --registry-secret",
    "image.not_found": "check the name; a private image needs --registry-secret (see 'hypernode secret:set')",
    "image.registry_not_allowed": "its operator names private registries with 'hypernode coordinator --registry'; "
    "what has a digest (name@sha256:…) is not asked for",
    "image.registry_unreachable": "try again, or name the image by its digest: name@sha256:…",
    "job.ended": "'hypernode job ID' shows how it ended",
    "ledger.insufficient_funds": "ask for less (of a job: --cap, --timeout), or have its admin deposit more; "
    "'hypernode wallet' shows what there is",
    "market.cap_too_low": "'hypernode quote FILE' shows what the job needs; raise --cap or shorten --timeout",
    "not_found": "check the id; it may belong to another project (see 'hypernode whoami')",
    "parameter.out_of_bounds": "'hypernode gov parameters' shows what may be changed, and within which bounds",
    "proposal.state": "'hypernode gov show ID' shows where it is, and until when",
    "proposal.weight_too_low": "stake more in one, or for longer, with 'hypernode stake open'",
    "requirements.unresolvable": "check names and versions; only packages with wheels can be used",
    "secret.unreadable": "set it again with 'hypernode secret:set'",
    "server.overloaded": "try again in a moment",
    "server.unavailable": "try again in a moment",
    "server.answer_invalid": "compare 'hypernode --version' with the coordinator's ('hypernode network')",
    "stake.frozen": "'hypernode gov case list --stake ID' shows the reports",
    "stake.state": "an active stake is ended with 'hypernode stake unstake', and withdrawn once it is free",
    "tls.untrusted": "ask the coordinator's admin for the fingerprint, and set HYPERNODE_CERTIFICATE=sha256:…",
}


def report(error: HypernodeError) -> int:
    """Write an error to stderr and give the exit code that goes with it."""
    lines = [f"error: {clean(str(error), keep_lines=True)} [{error.code}]"]
    if error.retry_after_s:
        lines.append(f"  the server asks to wait {error.retry_after_s} s")
    hint = HINTS.get(error.code)
    if hint is not None:
        lines.append(f"  hint: {hint}")
    print("\n".join(lines), file=sys.stderr)
    return EXIT_TIMEOUT if error.code == "client.wait_timeout" else EXIT_ERROR
