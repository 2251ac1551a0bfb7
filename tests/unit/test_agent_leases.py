"""The table of leases and the outbox: what fits, what is said, what is said again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypernode.agent.leases import Leases, Phase
from hypernode.agent.outbox import Outbox, size_bytes
from hypernode.jobs.model import Gpu, Resources
from hypernode.kernel import limits
from hypernode.kernel.errors import InvariantViolated
from hypernode.nodes.model import Capabilities
from hypernode.protocol import messages
from hypernode.protocol.messages import Heartbeat, LeaseRef, Log, Refuse, Report, Running

OFFER = Capabilities(cpu_milli=4000, memory_bytes=1 << 30, disk_bytes=1 << 30, slots=3)
NEEDS = Resources(cpu_milli=1000, memory_bytes=1 << 28, disk_bytes=1 << 20)


def ref(number: int, epoch: int = 1) -> LeaseRef:
    return LeaseRef(number.to_bytes(16, "big"), 0, epoch)


def test_a_lease_goes_its_way_and_frees_what_it_reserved() -> None:
    leases = Leases(OFFER)
    held = leases.take(ref(1), NEEDS)
    assert leases.running() == ()
    assert leases.started(held) == Running(ref(1))
    assert leases.running() == (ref(1),)
    assert leases.busy() == 1
    leases.finished(held)
    assert (leases.busy(), leases.running(), leases.holds()) == (0, (), (ref(1),))
    assert leases.resume() == []
    leases.delivered(held, Report(ref(1), b"{}", bytes(64)))
    assert leases.resume() == []  # the report follows its log
    leases.forget(ref(1))
    assert len(leases) == 0


@pytest.mark.parametrize(
    ("needs", "why"),
    [
        (Resources(cpu_milli=4001), "cpu_milli"),
        (Resources(memory_bytes=(1 << 30) + 1), "memory_bytes"),
        (Resources(memory_bytes=1 << 28, disk_bytes=(1 << 30) + 1), "disk_bytes"),
        (Resources(memory_bytes=1 << 28, gpu=Gpu()), "GPU"),
    ],
)
def test_what_does_not_fit_has_its_reason(needs: Resources, why: str) -> None:
    leases = Leases(OFFER)
    assert why in (leases.why_not(needs) or "")
    with pytest.raises(InvariantViolated):
        leases.take(ref(1), needs)


def test_slots_and_epochs() -> None:
    leases = Leases(OFFER)
    for number in range(3):
        leases.take(ref(number), NEEDS)
    assert "slots" in (leases.why_not(NEEDS) or "")
    assert leases.get(ref(0, epoch=2)) is None
    leases.refused(leases.get(ref(0)) or leases.recover(ref(9)), "node.stopping", "x" * 9999)
    assert leases.why_not(NEEDS) is None
    (refuse,) = leases.resume()
    assert isinstance(refuse, Refuse) and len(refuse.detail) == 4096


def test_no_phase_is_skipped() -> None:
    leases = Leases(OFFER)
    held = leases.take(ref(1), NEEDS)
    with pytest.raises(InvariantViolated):
        leases.finished(held)
    leases.refused(held, "cancelled", "")
    with pytest.raises(InvariantViolated):
        leases.started(held)


@given(st.lists(st.tuples(st.integers(0, 7), st.sampled_from(["take", "start", "finish", "refuse", "forget"]))))
def test_reservations_always_add_up(steps: list[tuple[int, str]]) -> None:
    leases = Leases(OFFER)
    for number, step in steps:
        held = leases.get(ref(number))
        if step == "take" and held is None and leases.why_not(NEEDS) is None:
            leases.take(ref(number), NEEDS)
        elif step == "start" and held is not None and held.phase is Phase.PREPARING:
            leases.started(held)
        elif step == "finish" and held is not None and held.phase is Phase.RUNNING:
            leases.finished(held)
        elif step == "refuse" and held is not None and held.phase is not Phase.REFUSED:
            leases.refused(held, "x", "")
        elif step == "forget":
            leases.forget(ref(number))
        reserving = [held for held in leases if held.phase in (Phase.PREPARING, Phase.RUNNING)]
        assert leases.busy() == len(reserving) <= OFFER.slots
        assert set(leases.running()) <= set(leases.holds())
    for number in range(8):
        leases.forget(ref(number))
    assert leases.busy() == 0
    assert leases.why_not(Resources(cpu_milli=4000, memory_bytes=1 << 30, disk_bytes=1 << 30)) is None


async def test_what_waits_goes_out_in_few_frames_that_fit() -> None:
    outbox = Outbox()
    for number in range(3000):
        outbox.put(Running(ref(number)))
    frames = []
    while len(outbox):
        frames.append(outbox.frame())
    assert [len(frame) for frame in frames] == [1024, 1024, 952]
    assert not outbox.filled.is_set()
    assert [message.lease for frame in frames for message in frame if isinstance(message, Running)] == [
        ref(number) for number in range(3000)
    ]


async def test_frames_of_the_largest_messages_stay_below_their_bound() -> None:
    outbox = Outbox()
    holds = tuple(ref(number) for number in range(limits.NODE_LEASES))
    for number in range(200):
        outbox.put(Log(ref(number), 0, bytes(limits.LOG_CHUNK_BYTES)))
        outbox.put(Refuse(ref(number), "x" * 64, "ü" * 4096))
        outbox.put(Report(ref(number), bytes(limits.RECEIPT_BYTES), bytes(64)))
        outbox.put(Heartbeat(holds, holds))
    while len(outbox):
        frame = outbox.frame()
        encoded = messages.encode(frame)
        assert len(encoded) <= limits.FRAME_BYTES
        assert len(encoded) <= sum(map(size_bytes, frame)) + 16
        messages.decode_from_node(encoded)
