"""From command lines, files and requirements to job documents."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hypernode.client import locks
from hypernode.client.build import (
    command_job,
    container_job,
    parse_command,
    parse_destination,
    parse_input,
    python_job,
    wasm_job,
)
from hypernode.client.errors import CommandUnsupported, FileUnusable, RequirementsUnresolvable
from hypernode.jobs.model import ArtifactRef, ContainerRuntime, Destination, JobDocument, PythonRuntime, WasmRuntime
from hypernode.kernel.errors import InvalidInput

REF = ArtifactRef("0" * 64, 5)
EMPTY_MODULE = b"\0asm\x01\0\0\0"


def python(document: JobDocument) -> PythonRuntime:
    assert isinstance(document.runtime, PythonRuntime)
    return document.runtime


def test_a_script_goes_along(tmp_path: Path) -> None:
    script = tmp_path / "deep" / "fit.py"
    script.parent.mkdir()
    script.write_text("print(1)")
    job = python_job(["python", str(script), "--fast", "-c"], cap="0.5 HYPER", timeout_s="10m", lock=b"lock")
    document = job.document
    assert (python(document).script, document.runtime.arguments) == ("fit.py", ("--fast", "-c"))
    assert (document.cap, document.timeout_s) == (500_000, 600)
    assert document.inputs["fit.py"].sha256 == hashlib.sha256(b"print(1)").hexdigest()
    assert python(document).requirements == ArtifactRef(hashlib.sha256(b"lock").hexdigest(), 4)
    assert [part.ref.size_bytes for part in job.uploads] == [8, 4]
    assert job.with_cap(7).document.cap == 7


def test_code_and_modules() -> None:
    assert python(python_job(["python", "-c", "print(1)", "a"]).document).code == "print(1)"
    job = python_job(["python3", "-u", "-m", "timeit", "-n", "1"], environment={"A": "b"}).document
    assert isinstance(job.runtime, PythonRuntime)
    assert (job.runtime.module, job.runtime.arguments) == ("timeit", ("-n", "1"))
    assert job.environment == {"PYTHONUNBUFFERED": "1", "A": "b"}


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ([], "no command"),
        (["ls", "-l"], "cannot be run"),
        (["fit.py"], "did you mean: python fit.py"),
        (["python3.11", "x.py"], "cannot be run"),
        (["python"], "needs a script"),
        (["python", "-"], "no terminal"),
        (["python", "-c"], "needs code"),
        (["python", "-O", "x.py"], "-O is not supported"),
    ],
)
def test_other_commands_are_refused(command: list[str], says: str) -> None:
    with pytest.raises(CommandUnsupported, match=says):
        parse_command(command)


def test_folders_become_the_files_below_them(tmp_path: Path) -> None:
    for name in ("b", "a/c", "a/d e"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text("same")
    job = python_job(["python", "-c", "pass"], inputs={"in": tmp_path / "data", "known": REF, "bytes": b"x"})
    assert list(job.document.inputs) == ["in/b", "in/a/c", "in/a/d e", "known", "bytes"]
    assert len(job.uploads) == 2  # equal files are sent once, known ones not at all


def test_a_script_may_be_among_the_inputs(tmp_path: Path) -> None:
    job = python_job(["python", "main.py"], inputs={"main.py": REF})
    assert python(job.document).script == "main.py"
    other = tmp_path / "x.py"
    other.write_text("")
    with pytest.raises(FileUnusable, match="another name"):
        python_job(["python", str(other)], inputs={"x.py": REF})


def test_inputs_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for bad in (tmp_path / "absent", tmp_path / "empty", tmp_path / "pipe"):
        with pytest.raises(FileUnusable):
            python_job(["python", "-c", "pass"], inputs={"x": bad})
    with pytest.raises(FileUnusable, match="no script"):
        python_job(["python", str(tmp_path / "absent.py")])
    with pytest.raises(InvalidInput):
        python_job(["python", "-c", "pass"], inputs={"../x": REF})
    folder = tmp_path / "odd"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).write_text("")
    with pytest.raises(InvalidInput):
        python_job(["python", "-c", "pass"], inputs={"x": folder})


def test_every_wrong_field_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        python_job(["python", "-c", "1"], cap="5", timeout_s="1 year", resources={"memory_bytes": "1"}, nonsense=1)
    paths = {error.path for error in caught.value.errors}
    assert paths == {"$.cap", "$.timeout_s", "$.resources.memory_bytes", "$.nonsense"}


def test_input_options() -> None:
    assert parse_input("a/b=c=d") == ("a/b", Path("c=d"))
    assert parse_input("some/file.csv") == ("file.csv", Path("some/file.csv"))
    assert parse_input(f"x=sha256:{'0' * 64}:5") == ("x", REF)
    for bad in ("", "=x", "x=", "x=sha256:12:5", "x=sha256:zz"):
        with pytest.raises(InvalidInput):
            parse_input(bad)


LOCK = b"""--index-url https://index.example/simple
numpy==2.0 ; python_version >= '3.11' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
"""


def fake_uv(monkeypatch: pytest.MonkeyPatch, **done: Any) -> list[Any]:
    calls: list[Any] = []

    def run(command: list[str], **options: Any) -> Any:
        calls.append((command, options))
        return subprocess.CompletedProcess(command, **done)

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_a_lock_names_no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_uv(monkeypatch, returncode=0, stdout=LOCK, stderr=b"")
    lock = locks.resolve_requirements(["numpy>=2", " rdkit "])
    assert b"index" not in lock
    assert lock.startswith(b"numpy==2.0")
    ((command, options),) = calls
    assert options["input"] == b"numpy>=2\nrdkit\n"
    assert {"--universal", "--generate-hashes", "--only-binary", ":all:"} <= set(command)


def test_what_uv_says_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_uv(monkeypatch, returncode=1, stdout=b"", stderr=b"x" * 9000 + b"no such package")
    with pytest.raises(RequirementsUnresolvable, match="no such package") as caught:
        locks.resolve_requirements(["nothing-of-this-name"])
    assert len(str(caught.value)) < 5000
    fake_uv(monkeypatch, returncode=0, stdout=b"numpy==2.0\n", stderr=b"")
    with pytest.raises(RequirementsUnresolvable, match="no hash"):
        locks.resolve_requirements(["numpy"])


@pytest.mark.parametrize(
    "requirement", ["", "-r x.txt", "--index-url=x", "./here", "a\n-r b", "a @ file:///x", "git+https://x", "../a"]
)
def test_what_is_no_requirement(requirement: str) -> None:
    with pytest.raises(RequirementsUnresolvable):
        locks.resolve_requirements([requirement])


def test_a_module_goes_along(tmp_path: Path) -> None:
    module = tmp_path / "deep" / "fit.wasm"
    module.parent.mkdir()
    module.write_bytes(EMPTY_MODULE)
    job = command_job([str(module), "--fast", "x"], fuel=10, seed=7, inputs={"data": b"1"}, outputs=["out"])
    assert job.document.runtime == WasmRuntime(module="fit.wasm", arguments=("--fast", "x"), fuel=10, seed=7)
    assert set(job.document.inputs) == {"data", "fit.wasm"}
    assert sorted(part.ref.size_bytes for part in job.uploads) == [1, 8]
    # Among the inputs already, or at the network already: by name.
    assert set(wasm_job("m.wasm", inputs={"m.wasm": EMPTY_MODULE}).document.inputs) == {"m.wasm"}
    assert wasm_job("m.wasm", inputs={"m.wasm": REF}).uploads == ()


def test_what_is_no_module_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    for content, says in (
        (b"(module)", "not a WebAssembly module"),
        (b"\x7fELF\x02\x01\x01\0" + bytes(64), "not a WebAssembly module"),  # machine code, as wasmtime keeps it
        (b"", "not a WebAssembly module"),
        (b"\0asm\x0d\0\x01\0", "component"),
    ):
        (tmp_path / "bad.wasm").write_bytes(content)
        with pytest.raises(FileUnusable, match=says):
            wasm_job(str(tmp_path / "bad.wasm"))
    with pytest.raises(FileUnusable, match="no module"):
        wasm_job(str(tmp_path / "absent.wasm"))
    (tmp_path / "m.wasm").write_bytes(EMPTY_MODULE)
    with pytest.raises(CommandUnsupported, match="packages"):
        command_job([str(tmp_path / "m.wasm")], lock=b"six")
    with pytest.raises(CommandUnsupported, match="WebAssembly"):
        command_job(["python", "-c", "1"], seed=1)
    with pytest.raises(InvalidInput) as caught:
        wasm_job(str(tmp_path / "m.wasm"), fuel=0, seed=-1)
    assert {error.path for error in caught.value.errors} == {"$.runtime.fuel", "$.runtime.seed"}


def test_containers() -> None:
    assert container_job("alpine").document.runtime == ContainerRuntime("alpine")  # the image's own, whatever that is
    assert container_job("alpine", []).document.runtime == ContainerRuntime("alpine", arguments=())
    job = command_job(
        ["-c", "echo hi"],
        image="ghcr.io/a/b:1",
        entrypoint=["/bin/sh"],
        working_folder="/app",
        registry_secret="pull",
        inputs={"data": b"1"},
        network={"egress": [{"host": "example.org"}]},
    )
    assert job.document.runtime == ContainerRuntime(
        "ghcr.io/a/b:1", ("/bin/sh",), ("-c", "echo hi"), working_folder="/app", registry_secret="pull"
    )
    assert set(job.document.inputs) == {"data"} and len(job.uploads) == 1
    assert job.document.network is not None and job.document.network.egress == (Destination("example.org"),)
    # A program called like a module is the image's affair.
    assert command_job(["x.wasm"], image="alpine").document.runtime == ContainerRuntime("alpine", arguments=("x.wasm",))
    with pytest.raises(InvalidInput) as caught:
        container_job("Alpine!", working_folder="app", registry_secret="-")
    assert {error.path for error in caught.value.errors} == {
        "$.runtime.image",
        "$.runtime.working_folder",
        "$.runtime.registry_secret",
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"image": "alpine", "lock": b"six"}, "an image brings everything"),
        ({"image": "alpine", "fuel": 1}, "for WebAssembly modules"),
        ({"image": "alpine", "seed": 0}, "for WebAssembly modules"),
        ({"entrypoint": ["x"]}, "name an image"),
        ({"working_folder": "/x"}, "name an image"),
        ({"registry_secret": "x"}, "name an image"),
    ],
)
def test_options_of_another_runtime_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(CommandUnsupported, match=says):
        command_job(["python", "-c", "1"], **options)


def test_hosts_to_allow() -> None:
    for text, destination in {
        "example.org": Destination("example.org", 443),
        "Example.ORG:80": Destination("example.org", 80),
        "*.example.org:8443": Destination("*.example.org", 8443),
        "1.1.1.1": Destination("1.1.1.1", 443),
        "1.1.1.1:53": Destination("1.1.1.1", 53),
        "2606:4700::1111": Destination("2606:4700::1111", 443),
        "[2606:4700::1111]": Destination("2606:4700::1111", 443),
        "[2606:4700::1111]:853": Destination("2606:4700::1111", 853),
    }.items():
        assert parse_destination(text) == destination, text
    for text in ("", ":", "example.org:", "example.org:0", "example.org:65536", "example.org:x", "https://example.org"):
        with pytest.raises(InvalidInput, match="HOST:PORT"):
            parse_destination(text)
    for text in ("example.org/path", "*", "*:443", "a b", "127.1", "[::1", "example.org:-1", "example.org:²"):
        with pytest.raises(InvalidInput, match="HOST:PORT"):
            parse_destination(text)
