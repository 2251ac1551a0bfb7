"""`hypernode receipt verify`: offline, exact about what it checked, and hard to fool."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec
import pytest

from hypernode.cli import main
from hypernode.kernel.keys import KeyPair
from hypernode.ledger.model import split
from hypernode.ledger.receipt import (
    COORDINATOR_CONTEXT,
    NODE_CONTEXT,
    Decision,
    Outcome,
    Receipt,
    ReceiptBody,
    Run,
    Work,
    countersigned,
    encode_body,
    encode_decision,
)

NODE, COORDINATOR = KeyPair(b"n" * 32), KeyPair(b"c" * 32)


def receipt(task: int = 0) -> Receipt:
    work = Work(job="0" * 64, task=task, outcome=Outcome.EXITED, exit_code=0, signal=None, outputs=())
    run = Run(
        job_id="j",
        epoch=1,
        node=NODE.public,
        started_at_ms=1,
        ended_at_ms=2,
        wall_ms=1,
        cpu_ms=1,
        memory_peak_bytes=1,
        log_bytes=0,
        log_root="0" * 64,
        sandbox="test",
        isolation=2,
    )
    body = ReceiptBody(work=work, run=run)
    decision = Decision(
        accepted_at_ms=3,
        billed_ms=1,
        rate_per_second=100,
        fixed=0,
        split=split(1000),
        coordinator=COORDINATOR.public,
    )
    signed = encode_body(body)
    return Receipt(
        body=body,
        node_signature=NODE.sign(NODE_CONTEXT, signed),
        decision=decision,
        coordinator_signature=COORDINATOR.sign(COORDINATOR_CONTEXT, countersigned(signed, encode_decision(decision))),
    )


def verify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["hypernode", "receipt", "verify", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return int(left.value.code or 0), out + err


def test_good_receipts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "receipts.json"
    one, many = msgspec.json.encode(receipt()), msgspec.json.encode([receipt(0), receipt(1)])
    page = msgspec.json.encode({"items": [receipt()], "next": None})
    for content, count in ((one, 1), (many, 2), (page, 1)):
        file.write_bytes(content)
        code, said = verify(monkeypatch, capsys, str(file))
        assert code == 0 and f"{count} of {count} receipts are valid" in said
        assert "not checked: whether the node is the one you know" in said
    code, said = verify(
        monkeypatch, capsys, str(file), "--node", NODE.public, "--coordinator", COORDINATOR.public, "--json"
    )
    assert code == 0 and json.loads(said)[0]["valid"] is True


def test_bad_receipts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "receipts.json"
    good = json.loads(msgspec.json.encode(receipt()))
    for change in ("exit_code", "price", "signature"):
        bad = json.loads(json.dumps(good))
        if change == "exit_code":
            bad["body"]["work"]["exit_code"] = 1
        elif change == "price":
            bad["decision"]["split"]["price"] = 999
        else:
            bad["node_signature"] = bad["coordinator_signature"]
        file.write_text(json.dumps([good, bad]))
        code, said = verify(monkeypatch, capsys, str(file))
        assert code == 1 and "1 of 2 receipts are valid" in said and "BAD" in said
    file.write_text(json.dumps(good))
    for option in ("--node", "--coordinator"):
        code, said = verify(monkeypatch, capsys, str(file), option, KeyPair.generate().public)
        assert code == 1 and "BAD" in said


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[1]", b'{"items": 1}', b"[" * 100_000])
def test_files_that_hold_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    file = tmp_path / "receipts.json"
    file.write_bytes(content)
    code, said = verify(monkeypatch, capsys, str(file))
    assert code == 2 and "holds no receipts" in said
    assert verify(monkeypatch, capsys, str(tmp_path / "absent"))[0] == 2
