"""A WebAssembly module on a whole network: from the command line, from Python, and as a document in YAML."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from e2e.network import SMALL, Net, hypernode
from hypernode.client import wasm_job
from hypernode.client.build import LocalJob
from hypernode.jobs.model import parse_text
from hypernode.ledger.receipt import work_id
from integration.wasm_modules import module

PROGRAM = module(
    # Copies /in/data.txt to result.txt, and says its arguments.
    "(if (call $open (i32.const 4) $0 (i32.const 0)) (then (call $exit (i32.const 1))))"
    "(i32.store (i32.const 0) (i32.const 8192)) (i32.store (i32.const 4) (i32.const 100))"
    "(drop (call $fd_read (i32.load (i32.const 24)) (i32.const 0) (i32.const 1) (i32.const 8)))"
    "(if (call $open (i32.const 3) $1 (i32.const 1)) (then (call $exit (i32.const 2))))"
    "(i32.store (i32.const 4) (i32.load (i32.const 8)))"
    "(drop (call $fd_write (i32.load (i32.const 24)) (i32.const 0) (i32.const 1) (i32.const 8)))"
    "(drop (call $args_sizes_get (i32.const 32) (i32.const 36)))"
    "(drop (call $args_get (i32.const 1024) (i32.const 2048)))"
    "(call $put (i32.const 2048) (i32.load (i32.const 36)))",
    "data.txt",
    "result.txt",
)


def test_a_module_from_the_command_line(net: Net, tmp_path: Path) -> None:
    (tmp_path / "copy.wasm").write_bytes(PROGRAM)
    (tmp_path / "my.txt").write_text("forty-two")
    here = {"HYPERNODE_URL": net.network.url, "HYPERNODE_API_KEY": net.network.client_key}
    options = ["--input", f"data.txt={tmp_path}/my.txt", "--output", "result.txt", "--out", str(tmp_path / "out")]
    done = hypernode("run", *options, "--timeout", "1m", "--", f"{tmp_path}/copy.wasm", "ARG", **here)
    assert (done.returncode, done.stdout) == (0, "copy.wasm\0ARG\0"), done.stderr
    assert (tmp_path / "out" / "result.txt").read_text() == "forty-two"

    (tmp_path / "spin.wasm").write_bytes(module("(loop $again (br $again))"))
    spent = hypernode("run", "-q", "--fuel", "100000", "--timeout", "1m", "--", f"{tmp_path}/spin.wasm", **here)
    assert (spent.returncode, spent.stdout) == (124, "")
    job = json.loads(hypernode("jobs", "--json", **here).stdout)[0]
    assert job["name"] == "spin"
    assert "it used up the fuel its job allows" in hypernode("explain", job["id"], **here).stdout

    (tmp_path / "text.wasm").write_text("(module)")
    refused = hypernode("run", "--", f"{tmp_path}/text.wasm", **here)
    assert refused.returncode == 2
    assert "[client.file]" in refused.stderr


def test_equal_work_has_one_id_and_one_use_of_fuel_on_both_nodes(net: Net) -> None:
    body = (
        "(local $n i32) (local.set $n (i32.const 30000000)) (loop $again"
        " (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
        "(drop (call $random_get (i32.const 64) (i32.const 8))) (call $put (i32.const 64) (i32.const 8))"
    )
    data = module(body)
    job = wasm_job("m.wasm", seed=1, cap="1 HYPER", inputs={"m.wasm": data}, timeout_s=60, resources=SMALL)
    submitted = [net.client.submit(job) for _ in range(4)]
    receipts = []
    for one in submitted:
        assert net.client.wait(one.id, 60).state == "succeeded", net.client.explain(one.id).sentences
        receipts += net.check_receipts(one.id)
    assert len({net.output(one.id) for one in submitted}) == 1
    assert {receipt.body.run.node for receipt in receipts} == {net.key("node-1"), net.key("node-2")}
    assert len({work_id(receipt.body.work) for receipt in receipts}) == 1
    (fuel,) = {receipt.body.run.fuel for receipt in receipts}
    assert fuel is not None
    assert fuel > 30_000_000


def test_a_document_in_yaml(net: Net) -> None:
    data = module("(call $exit (i32.const 3))")
    net.client.upload(data)
    text = f"""
version: 1
runtime: {{type: wasm, module: bin/m.wasm, arguments: [a], fuel: 1000, seed: 7}}
cap: 1 HYPER
inputs:
  bin/m.wasm: {{sha256: {hashlib.sha256(data).hexdigest()}, size_bytes: {len(data)}}}
resources: {{memory_bytes: 64MiB, disk_bytes: 16MiB}}
timeout_s: 1m
"""
    job = LocalJob(parse_text(text.encode()))
    quote = net.client.quote(job)
    assert len(quote.eligible) == 2
    assert net.run(job).state == "failed"
    assert net.task(next(iter(net.client.jobs()))).exit_code == 3
