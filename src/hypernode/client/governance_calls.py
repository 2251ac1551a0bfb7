"""The routes of governance as values, as in `calls`. No I/O. Every act carries an idempotency key, so it may
be repeated."""

from __future__ import annotations

import msgspec

from hypernode.client.calls import Call, segment
from hypernode.client.calls import _get as get
from hypernode.client.calls import _post as post
from hypernode.governance.panels import Ballot
from hypernode.governance.proposals import Choice
from hypernode.governance.views.cases import CasePage, CaseRequest, CaseView, CommitRequest, RevealRequest
from hypernode.governance.views.proposals import (
    ParameterList,
    ProposalPage,
    ProposalRequest,
    ProposalView,
    VoteRequest,
)
from hypernode.governance.views.stakes import AddRequest, StakePage, StakeRequest, StakeView, StakingView
from hypernode.governance.views.supply import BurnPage, BurnRequest, BurnView, SupplyView, UnlockView
from hypernode.kernel import decode


def stakes(cursor: str | None) -> Call[StakePage]:
    """One page of the project's stakes."""
    return get("/stakes", StakePage, cursor=cursor)


def stake(stake_id: str) -> Call[StakeView]:
    """One stake."""
    return get(f"/stakes/{segment(stake_id)}", StakeView)


def open_stake(request: StakeRequest, key: str) -> Call[StakeView]:
    """Lock money."""
    return post("/stakes", msgspec.json.encode(request), StakeView, key)


def add_to_stake(stake_id: str, request: AddRequest, key: str) -> Call[StakeView]:
    """More for a stake."""
    return post(f"/stakes/{segment(stake_id)}/add", msgspec.json.encode(request), StakeView, key)


def of_stake(stake_id: str, act: str, key: str) -> Call[StakeView]:
    """`unstake`, `withdraw` or `claim`."""
    return post(f"/stakes/{segment(stake_id)}/{act}", b"", StakeView, key)


def staking() -> Call[StakingView]:
    """All stakes together."""
    return get("/staking", StakingView)


def distribute() -> Call[StakingView]:
    """Share out what has come in. Doing so twice does no harm."""
    return post("/staking/distribute", b"", StakingView)


def parameters() -> Call[ParameterList]:
    """What votes may change."""
    return get("/governance/parameters", ParameterList)


def proposals(state: str | None, cursor: str | None) -> Call[ProposalPage]:
    """One page of proposals."""
    return get("/governance/proposals", ProposalPage, state=state, cursor=cursor)


def proposal(proposal_id: str) -> Call[ProposalView]:
    """One proposal."""
    return get(f"/governance/proposals/{segment(proposal_id)}", ProposalView)


def propose(request: ProposalRequest, key: str) -> Call[ProposalView]:
    """Make a proposal."""
    return post("/governance/proposals", msgspec.json.encode(request), ProposalView, key)


def vote(proposal_id: str, choice: Choice, stake_id: str | None, key: str) -> Call[ProposalView]:
    """Vote with one stake, or with all. Raises InvalidInput for a stake that is no id."""
    body = msgspec.json.encode(decode.from_plain({"choice": choice, "stake": stake_id}, VoteRequest))
    return post(f"/governance/proposals/{segment(proposal_id)}/votes", body, ProposalView, key)


def of_proposal(proposal_id: str, act: str, key: str) -> Call[ProposalView]:
    """`activate`, `cancel`, `finalize` or `execute`."""
    return post(f"/governance/proposals/{segment(proposal_id)}/{act}", b"", ProposalView, key)


def cases(state: str | None, stake_id: str | None, cursor: str | None) -> Call[CasePage]:
    """One page of cases."""
    return get("/governance/cases", CasePage, state=state, stake=stake_id, cursor=cursor)


def case(case_id: str) -> Call[CaseView]:
    """One case."""
    return get(f"/governance/cases/{segment(case_id)}", CaseView)


def report(request: CaseRequest, key: str) -> Call[CaseView]:
    """Report a stake."""
    return post("/governance/cases", msgspec.json.encode(request), CaseView, key)


def commit(case_id: str, commitment: str, key: str) -> Call[CaseView]:
    """Commit to a vote."""
    body = msgspec.json.encode(CommitRequest(commitment=commitment))
    return post(f"/governance/cases/{segment(case_id)}/commit", body, CaseView, key)


def reveal(case_id: str, ballot: Ballot, salt: str, key: str) -> Call[CaseView]:
    """Show the vote that was committed to."""
    body = msgspec.json.encode(RevealRequest(ballot=ballot, salt=salt))
    return post(f"/governance/cases/{segment(case_id)}/reveal", body, CaseView, key)


def of_case(case_id: str, act: str, key: str) -> Call[CaseView]:
    """`appeal` or `advance`."""
    return post(f"/governance/cases/{segment(case_id)}/{act}", b"", CaseView, key)


def burns(cursor: str | None) -> Call[BurnPage]:
    """One page of burns."""
    return get("/burns", BurnPage, cursor=cursor)


def burn(request: BurnRequest, key: str) -> Call[BurnView]:
    """Burn the project's own HYPER."""
    return post("/burns", msgspec.json.encode(request), BurnView, key)


def supply() -> Call[SupplyView]:
    """Where all HYPER is."""
    return get("/supply", SupplyView)


def unlock() -> Call[UnlockView]:
    """Unlock the next cycle. Repeated, it unlocks another one only if that is due as well."""
    return post("/unlocks", b"", UnlockView)
