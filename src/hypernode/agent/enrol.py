"""`node:init`: from a join token to a node with a key, a name and a place it belongs to."""

from __future__ import annotations

import hashlib

import httpx
import msgspec

from hypernode.agent import trust
from hypernode.agent.home import AlreadyANode, Config, Home, Policy, default_name
from hypernode.kernel import limits
from hypernode.kernel.errors import HypernodeError, Malformed, Problem, Unavailable, error_of
from hypernode.nodes.model import DEFAULT_ASK, ENROL_CONTEXT, Ask, Enrolment, EnrolRequest, JoinToken

PATH = "/api/v1/nodes/enrol"


async def enrol(
    home: Home,
    token_text: str,
    *,
    name: str | None = None,
    ask: Ask = DEFAULT_ASK,
    policy: Policy | None = None,
    labels: dict[str, str] | None = None,
    insecure_http: bool = False,
) -> Config:
    """Make `home` a node of the coordinator that the join token names.

    The home becomes a node in one step, at the end: whatever fails before leaves at most its key, which the next try
    uses again. Raises AlreadyANode, JoinTokenInvalid, UntrustedCoordinator, Unavailable (no address answered), or what
    the coordinator refused with.
    """
    if home.initialised:
        raise AlreadyANode(
            f"{home.path} is already the node {home.config().name!r}; to start over, stop it, move {home.path} away "
            "(its key is its identity and its earnings' address: keep it) and run node:init again"
        )
    token = JoinToken.parse(token_text)
    home.create()
    key = home.key_or_new()
    request = EnrolRequest(
        secret=token.secret,
        public_key=key.public,
        name=name or default_name(),
        signature=key.sign(ENROL_CONTEXT, hashlib.sha256(token.secret.encode()).digest()),
    )
    unreachable: list[str] = []
    for address in token.addresses:
        try:
            pinned = await _trust(home, token, address, insecure_http)
            enrolment = await _ask(home, address, pinned, request)
        except Unavailable as error:
            unreachable.append(f"{address}: {error}")
            continue
        config = Config(
            name=request.name,
            # The one that answered comes first; the others are tried when it does not.
            addresses=(address, *(other for other in token.addresses if other != address)),
            pinned=pinned,
            insecure_http=insecure_http,
            coordinator_key=enrolment.coordinator_key,
            project_id=enrolment.project_id,
            project=enrolment.project,
            ask=ask,
            policy=policy or Policy(),
            labels=labels or {},
        )
        home.write_config(config)
        return config
    raise Unavailable("no coordinator could be reached: " + "; ".join(unreachable))


async def _trust(home: Home, token: JoinToken, address: str, insecure_http: bool) -> bool:
    """Settle what to trust before anything is sent; True when a certificate has been pinned."""
    parts = trust.parse_address(address, pinned=bool(token.fingerprint), insecure_http=insecure_http)
    if not token.fingerprint or parts.scheme == "http":  # then it is loopback: nobody in between
        return False
    home.write(home.certificate_file, (await trust.fetch_certificate(parts, token.fingerprint)).encode())
    return True


async def _ask(home: Home, address: str, pinned: bool, request: EnrolRequest) -> Enrolment:
    context = trust.client_context(home.certificate_file if pinned else None)
    direct = trust.is_loopback(httpx.URL(address).host)
    try:
        async with httpx.AsyncClient(verify=context, timeout=30, trust_env=not direct) as client:
            answer = await client.post(
                address.rstrip("/") + PATH,
                content=msgspec.json.encode(request),
                headers={"Content-Type": "application/json"},
            )
    except httpx.HTTPError as error:
        raise Unavailable(f"{type(error).__name__}: {error}") from error
    if answer.is_success:
        try:
            return msgspec.json.decode(answer.content[: limits.BODY_BYTES], type=Enrolment)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(f"{address} is no Hypernode coordinator: {error}") from error
    raise problem_error(answer)


def problem_error(answer: httpx.Response) -> HypernodeError:
    """The error an HTTP answer stands for; one that is no problem document (a proxy's page) goes by its status."""
    after = answer.headers.get("retry-after", "")
    try:
        problem = msgspec.json.decode(answer.content, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = f"{answer.request.method} {answer.request.url.path}: HTTP {answer.status_code}"
        if answer.status_code >= 500 or answer.status_code in (408, 429):
            return Unavailable(text)
        problem = Problem("", "", answer.status_code, f"http.{answer.status_code}", text)
    return error_of(problem, int(after) if after.isdigit() else None)
