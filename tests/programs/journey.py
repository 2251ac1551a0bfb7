"""One history in which every instruction of every program succeeds at least once."""

from __future__ import annotations

from collections.abc import Callable

from solders.instruction import Instruction
from solders.litesvm import LiteSVM

from .network import ALL, NODES_AND_MONEY, PANELS, SPLIT, TERMS, VOTING, Network
from .world import DAY, HYPER, World

Attack = Callable[[World, str, str, Instruction, list, list], None]


def travel(attack: Attack | None = None, *, suffix: str = ".so", svm: LiteSVM | None = None) -> Network:
    """Walk through all of it. `attack` is called before each instruction."""
    network = Network(ALL, suffix=suffix, attack=attack, svm=svm)
    world = network.world
    payer = {"payer": world.payer.pubkey()}

    # Stakers and nodes.
    network.market()
    operator = network.operator(10_000 * HYPER)
    validators = [network.operator(10_000 * HYPER) for _ in range(6)]
    owner = operator.owner
    own = {"owner": owner.pubkey(), "node": operator.node}
    world.send("nodes", "describe", owner, capability=b"n" * 32, **own)
    world.send("nodes", "retire", owner, **own)
    world.send("nodes", "resume", owner, **own)
    network.checkpoint(operator)
    world.send(
        "nodes", "record_reputation", *network.verifiers[:2], rest=network.verifier_metas(), node=operator.node,
        score=700, cause=1,
    )  # fmt: skip
    world.pay(world.reserve, world.bank, operator.tokens, 1_000 * HYPER)
    world.send(
        "staking", "add", owner, owner=owner.pubkey(), stake=operator.stake, source=operator.tokens, amount=5 * HYPER
    )

    # Jobs: paid, disputed both ways, cancelled, refunded.
    author = world.key()
    author_token = world.tokens(author)
    job = network.open(author=author)
    network.take(job, operator)
    proof_values = network.payees(job, operator, author_token)
    world.send("markets", "redeem", before=[network.proof(job, 20_000)], cumulative=20_000, **proof_values)
    world.wait(600)
    network.submit(job, operator, 600)
    network.settle(job, operator, author_token=author_token)
    network.checkpoint(operator)
    job = network.open(author=author)
    network.take(job, operator)
    world.wait(60)
    network.submit(job, operator, 60)
    network.dispute(job)
    world.send(
        "markets", "resolve", *network.verifiers[:2], rest=network.verifier_metas(), for_node=True,
        **network.endings(job, operator, author_token),
    )  # fmt: skip
    network.cancel(network.open())
    job = network.open()
    network.take(job, operator)
    network.give_back(job, operator)
    network.checkpoint(operator)
    network.take(job, operator)
    world.wait(job.seconds + TERMS["grace_seconds"] + 1)
    network.refund(job, operator)
    world.send("markets", "sweep")
    world.send("markets", "set_market", world.payer, authority=world.payer.pubkey(), terms=TERMS)
    market = world.record("markets", "Market", world.named["market"])
    client = world.person()
    tokens = world.tokens(client.pubkey(), 100 * HYPER)
    for id in range(64 - market["tail"]):
        network.cancel(network.open(client, tokens, id=id, seconds=1))
    head = world.address("markets", "page", world.named["market"], 0)
    world.send("markets", "retire_page", page=head, **payer)

    # Rewards, vesting, burns.
    network.reward(1_000 * HYPER)
    network.claim(operator.stake, operator.tokens)
    world.wait(30 * DAY)
    world.send("rewards", "distribute")
    world.send("token", "unlock", world.payer, cycle=0, **payer)
    world.send(
        "token", "burn_tokens", owner, id=0, holder=owner.pubkey(), source=operator.tokens, amount=HYPER,
        reference=b"r" * 32,
    )  # fmt: skip
    world.pay(operator.tokens, owner, world.named["collection"], HYPER)
    world.send("token", "burn_collection", world.payer, id=0, **payer)

    # A report, confirmed, appealed, upheld and executed; one dismissed.
    reporter = world.person()
    reporter_tokens = world.tokens(reporter.pubkey(), 200 * HYPER)
    case = network.report(reporter, reporter_tokens, operator.stake)
    network.judge(case, [(each, True) for each in validators[:3]])
    world.send("slashing", "appeal", owner, accused=owner.pubkey(), case=case)
    network.judge(case, [(each, True) for each in validators[3:]])
    network.execute_case(case, reporter_tokens)
    world.send("slashing", "close_case", case=case, reporter=reporter.pubkey())
    network.judge(network.report(reporter, reporter_tokens, operator.stake, "Timeout", 1), [])

    # Leaving.
    network.unstake(owner, operator.stake)
    world.wait(30 * DAY)
    network.withdraw(owner, operator.stake, operator.tokens)

    # Votes: every parameter by governance, one proposal cancelled, one expired.
    voter = world.person()
    world_tokens = world.tokens(voter.pubkey(), 20_000_000 * HYPER)
    world.send("rewards", "distribute")
    stake = network.stake(voter, world_tokens, 20_000_000 * HYPER, 365)
    world.wait(1)
    signer = world.named["governance.signer"]
    pool = {"least_amount": HYPER, "shortest_days": 14, "longest_days": 365, "padding": bytes(4)}
    calls = [
        ("MarketParameter", world.instruction("markets", "set_parameters", authority=signer, split=SPLIT)),
        ("StakingParameter", world.instruction("staking", "set_parameters", authority=signer, parameters=pool)),
        ("StakingParameter", world.instruction(
            "slashing", "set_parameters", authority=signer, parameters=PANELS,
        )),
        ("StakingParameter", world.instruction(
            "nodes", "set_verifiers", network.verifier_keys(), authority=signer, threshold=3
        )),
        ("StakingParameter", world.instruction("token", "set_destinations", authority=signer)),
        ("StakingParameter", world.instruction("governance", "set_parameters", parameters=VOTING)),
    ]  # fmt: skip
    proposals = []
    for id, (kind, call) in enumerate([*calls, ("Text", None), ("Text", None)]):
        proposal = network.propose(voter, stake, kind, call, id)
        world.send("governance", "activate", voter, proposer=voter.pubkey(), proposal=proposal)
        if id < len(calls) + 1:
            network.vote(proposal, voter, stake)
            proposals.append((proposal, call))
        else:
            world.send("governance", "cancel", voter, proposer=voter.pubkey(), proposal=proposal)
    world.wait(3 * DAY)
    for proposal, _ in proposals:
        world.send("governance", "finalize", proposal=proposal)
    world.wait(DAY)
    for proposal, call in proposals[:-1]:
        network.execute(proposal, call)
    vote = world.address("governance", "vote", proposals[0][0], stake)
    world.send("governance", "close_vote", proposal=proposals[0][0], vote=vote, voter=voter.pubkey())
    world.wait(14 * DAY)
    world.send("governance", "expire", proposal=proposals[-1][0])
    return network


def rule(attack: Attack | None = None) -> tuple[Network, Network]:
    """What otherwise only slashing and governance may do, done by people in their place."""
    network = Network(attack=attack)
    world = network.world
    authority = {"authority": network.authority.pubkey()}
    operator = network.operator()
    for _ in range(2):
        world.send("staking", "freeze", network.slasher, stake=operator.stake)
    world.send("staking", "release", network.slasher, stake=operator.stake)
    world.send("staking", "slash", network.slasher, stake=operator.stake, bps=100)
    pool = {"least_amount": HYPER, "shortest_days": 14, "longest_days": 365, "padding": bytes(4)}
    world.send("staking", "set_parameters", network.authority, parameters=pool, **authority)
    world.send("markets", "set_parameters", network.authority, split=SPLIT, **authority)
    world.send("nodes", "set_verifiers", network.authority, rest=network.verifier_keys(), threshold=2, **authority)
    world.send("token", "set_destinations", network.authority, **authority)
    judged = Network((*NODES_AND_MONEY, "slashing"), attack=attack)
    judged.world.send(
        "slashing", "set_parameters", judged.authority, parameters=PANELS, authority=judged.authority.pubkey()
    )
    return network, judged
