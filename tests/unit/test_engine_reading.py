"""What engines say, read without an engine: frames of output, reasons not to start, times, archives."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypernode.agent.sandboxes.base import Reason
from hypernode.agent.sandboxes.engine import ending, world
from hypernode.agent.sandboxes.engine.attached import frames

MIB = 1 << 20
RUNC = (
    "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
    'exec: "{0}": {1}: unknown'
)


def _frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 2, 3]), st.binary(max_size=40)), max_size=12),
    st.lists(st.integers(1, 30), max_size=60),
    st.integers(0, 20),
)
def test_frames_come_apart_wherever_the_parts_were_cut(
    written: list[tuple[int, bytes]], cuts: list[int], missing: int
) -> None:
    whole = b"".join(_frame(stream, data) for stream, data in written)
    whole = whole[: max(0, len(whole) - missing)]

    async def parts() -> AsyncIterator[bytes]:
        at = 0
        for cut in cuts:
            yield whole[at : at + cut]
            at += cut
        yield whole[at:]

    async def read() -> dict[int, bytes]:
        found = {1: b"", 2: b""}
        async for stream, data in frames(parts()):
            found[stream] += data
        return found

    got = asyncio.run(read())
    for stream in (1, 2):
        sent = b"".join(data for number, data in written if number == stream)
        assert sent.startswith(got[stream])
        assert missing or got[stream] == sent


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (RUNC.format("/no/such", "stat /no/such: no such file or directory"), 127),
        (RUNC.format("nosuch", "executable file not found in $PATH"), 127),
        (RUNC.format("/etc/passwd", "permission denied"), 126),
        (RUNC.format("/a/b", "stat /a/b: not a directory"), 127),
        (
            'runc: runc create failed: unable to start container process: exec: "/x": stat /x: no such file or'
            " directory: OCI runtime attempted to invoke a command that was not found",
            127,
        ),
        (
            "OCI runtime start failed: starting container: starting root container: starting sandbox: creating process:"
            " failed to load /etc/passwd: permission denied: unknown",
            126,
        ),
        ('starting sandbox: error finding executable "nosuch" in PATH [/bin]: no such file or directory', 127),
        ("crun: executable file `nosuch` not found in $PATH: No such file or directory", 127),
        ('runc create failed: chdir to cwd ("/private") set in config.json failed: permission denied', 126),
    ],
)
def test_a_program_that_does_not_start_is_told_from_a_container_that_does_not(message: str, code: int) -> None:
    found = ending.not_startable(message)
    assert found is not None
    assert found[0] == code
    assert not found[1].endswith(("unknown", "not found in"))


@pytest.mark.parametrize(
    "message",
    [
        "failed to create shim task: OCI runtime create failed: error mounting /usr to rootfs: no such file",
        "cannot run with network enabled in root network namespace",
        "no space left on device",
        "",
    ],
)
def test_a_container_that_does_not_start_is_not_the_tasks_fault(message: str) -> None:
    assert ending.not_startable(message) is None


@given(st.floats(-1e9, 1e9), st.floats(0, 100), st.floats(0, 1000), st.floats(0, 1000))
def test_a_duration_lies_within_what_our_own_clock_saw(skew: float, starting: float, ran: float, late: float) -> None:
    """Whatever the engine's clock says, and whether or not the keeper saw the end."""
    clock = ending.Clock(asked=50, answered=50 + starting, now=50 + starting + ran + late, now_wall=1.8e9)
    state = ending.State(started_at=_text(1.8e9 + skew), finished_at=_text(1.8e9 + skew + ran))
    for ended_at in (0.0, 50 + starting + ran):
        wall = ending.wall_ms(state, ended_at, clock)
        assert 0 <= wall <= round((starting + ran + late) * 1000) + 1


def test_durations_are_the_engines_where_its_clock_is_right() -> None:
    clock = ending.Clock(asked=100.0, answered=100.4, now=103.5, now_wall=1_800_000_003.5)
    state = ending.State(started_at=_text(1_800_000_000.3), finished_at=_text(1_800_000_003.3))
    assert ending.wall_ms(state, 0.0, clock) == pytest.approx(3000, abs=2)
    assert ending.wall_ms(state, 103.1, clock) == pytest.approx(2800, abs=2)
    assert ending.wall_ms(ending.State(started_at="rubbish"), 103.1, clock) == pytest.approx(3100, abs=2)


@pytest.mark.parametrize(
    ("reason", "code", "oom", "kills", "peak", "measured", "expected"),
    [
        (None, 0, False, 0, 10, True, Reason.EXITED),
        (None, 0, True, 1, 256, True, Reason.EXITED),  # a child died of it, and the program could do without
        (None, 3, False, 1, 256, True, Reason.OUT_OF_MEMORY),
        (None, 137, False, 0, 256, True, Reason.EXITED),
        (None, 137, True, 0, 256, True, Reason.OUT_OF_MEMORY),
        (None, 137, True, 1, 100, True, Reason.EXITED),  # the host ran out, not the task
        (None, 137, False, 0, 0, False, Reason.OUT_OF_MEMORY),  # nothing was measured: as engines' users read 137
        (Reason.TIMEOUT, 137, True, 1, 256, True, Reason.TIMEOUT),
    ],
)
def test_why_a_container_ended(
    reason: Reason | None, code: int, oom: bool, kills: int, peak: int, measured: bool, expected: Reason
) -> None:
    kept = ending.Kept(1.0, measured, 5, peak * MIB, kills, False, "aGk=")
    ended = ending.outcome(reason, code, ending.State(oom_killed=oom), kept, 256 * MIB, 10, 0)
    assert ended.reason is expected
    assert ended.exit_code == (None if reason is not None else code)
    assert ended.report == b"hi"


def test_the_base_image_is_the_same_every_time_and_a_tar_archive() -> None:
    made, again = world.base_image(300_000, "label", "x"), world.base_image(300_000, "label", "x")
    assert made == again
    assert made.name != world.base_image(300_256, "label", "x").name
    with tarfile.open(fileobj=io.BytesIO(made.archive)) as archive:
        assert {"manifest.json", "layer.tar"} <= set(archive.getnames())


def _text(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(max(0.0, seconds), UTC).isoformat().replace("+00:00", "Z")
