"""Environments from locks: real packages from the index that uv is configured with, and wheels made to misbehave."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest
import uv

from hypernode.agent import environments
from hypernode.agent import interpreter as interpreters
from hypernode.agent.environments import EnvironmentCache, EnvironmentFailed, check_lock
from hypernode.agent.interpreter import Interpreter

HASH = "--hash=sha256:" + "0" * 64


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Interpreter:
    return interpreters.prepare(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A lock of one small package, made as users make theirs."""
    folder = tmp_path_factory.mktemp("lock")
    (folder / "requirements.in").write_text("six==1.17.0\n")
    subprocess.run(
        [uv.find_uv_bin(), "pip", "compile", "-q", "--generate-hashes", "requirements.in", "-o", "requirements.txt"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return (folder / "requirements.txt").read_bytes()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "environments"


@pytest.fixture
def cache(root: Path, interpreter: Interpreter) -> EnvironmentCache:
    return EnvironmentCache(root, interpreter)


def _builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Counts what uv is asked to do."""
    calls: list[str] = []
    real = environments._uv

    def counting(arguments: list[str]) -> None:
        calls.append(arguments[0])
        real(arguments)

    monkeypatch.setattr(environments, "_uv", counting)
    return calls


async def test_a_lock_is_installed_once_and_read_only(
    cache: EnvironmentCache, root: Path, six: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = _builds(monkeypatch)
    built = await asyncio.gather(*(cache.get(six) for _ in range(5)))
    assert calls == ["venv", "pip"]
    assert len({environment.path for environment in built}) == 1
    environment = built[0]
    assert environment.path.name == environment.key == cache.key(six)
    assert environment.python == "/env/bin/python"
    assert environment.size_bytes > 10_000
    site = next(environment.path.glob("lib/python3*/site-packages"))
    assert (site / "six.py").stat().st_mode & 0o777 == 0o444
    assert list((site / "__pycache__").glob("six*.pyc"))
    assert not [path for path in environment.path.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o222]
    assert sorted(path.name for path in root.glob(".part-*")) == []
    assert (await cache.get(six + b"# a comment changes nothing\n")).key == environment.key
    assert calls == ["venv", "pip"]


async def test_two_processes_build_once(interpreter: Interpreter, root: Path, six: bytes, tmp_path: Path) -> None:
    script = """
import asyncio, sys
from pathlib import Path
from hypernode.agent import environments, interpreter
real = environments._uv
environments._uv = lambda arguments: (print(arguments[0], flush=True), real(arguments))
cache = environments.EnvironmentCache(Path(sys.argv[1]), interpreter.prepare(Path(sys.argv[3])))
asyncio.run(cache.get(Path(sys.argv[2]).read_bytes()))
"""
    (tmp_path / "lock").write_bytes(six)
    command = [sys.executable, "-c", script, str(root), str(tmp_path / "lock"), str(tmp_path / "store")]
    interpreters.prepare(tmp_path / "store")
    processes = [await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE) for _ in range(3)]
    said = [(await process.communicate())[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(said) == [b"", b"", b"venv\npip\n"]


async def test_no_lock_gives_a_bare_environment(cache: EnvironmentCache) -> None:
    environment = await cache.get(None)
    site = next(environment.path.glob("lib/python3*/site-packages"))
    assert [path.name for path in site.glob("*.py") if not path.name.startswith("_")] == []
    assert environment.key != cache.key(b"six==1.17.0 " + HASH.encode())


async def test_the_interpreter_is_part_of_the_key(root: Path, interpreter: Interpreter) -> None:
    other = msgspec.structs.replace(interpreter, tag="another")
    assert EnvironmentCache(root, interpreter).key(None) != EnvironmentCache(root, other).key(None)


async def test_a_file_other_than_the_locked_one_is_refused(cache: EnvironmentCache, root: Path, six: bytes) -> None:
    with pytest.raises(EnvironmentFailed) as failed:
        await cache.get(_tamper(six))
    assert failed.value.code == "environment.hash_mismatch"
    assert [path for path in root.iterdir() if path.is_dir() and path.name != "wheels"] == []


def _tamper(lock: bytes) -> bytes:
    lines = []
    for line in lock.split(b"\n"):
        start, mark, digest = line.partition(b"sha256:")
        lines.append(start + mark + (b"0" if digest[:1] != b"0" else b"1") + digest[1:] if mark else line)
    return b"\n".join(lines)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f"six==99.0 {HASH}", "environment.resolve_failed"),
        (f"no-such-package-of-hypernode==1.0 {HASH}", "environment.resolve_failed"),
        (f"docopt==0.6.2 {HASH}", "environment.no_wheel"),
    ],
)
async def test_what_cannot_be_had_is_said(cache: EnvironmentCache, line: str, code: str) -> None:
    with pytest.raises(EnvironmentFailed) as failed:
        await cache.get(line.encode())
    assert failed.value.code == code
    assert line.split("==")[0] in str(failed.value)


async def test_an_index_out_of_reach_is_a_failed_install_without_its_password(
    cache: EnvironmentCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://user:hunter2@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(EnvironmentFailed) as failed:
        await cache.get(f"six==1.17.0 {HASH}".encode())
    assert failed.value.code == "environment.install_failed"
    assert "hunter2" not in str(failed.value)


@pytest.mark.parametrize(
    "line",
    [
        "six",
        "six==1.17.0",
        f"six>=1.0 {HASH}",
        f"six==1.* {HASH}",
        "six==1.17.0 --hash=md5:" + "0" * 32,
        "six==1.17.0 --hash=sha256:abc",
        f"six @ https://example.org/six.whl {HASH}",
        f"https://example.org/six-1.17.0-py3-none-any.whl {HASH}",
        "-e .",
        "--editable=.",
        f"./six-1.17.0-py3-none-any.whl {HASH}",
        f"file:///six.whl {HASH}",
        "-r other.txt",
        "-c constraints.txt",
        "--index-url https://example.org/simple",
        "--extra-index-url=https://example.org/simple",
        "--find-links /tmp",
        "--no-binary :all:",
        f"six==1.17.0 {HASH} --config-settings=a=b",
        f"six==1.17.0 {HASH}\n-r other.txt",
        f"six==1.17.0 \\\n -r other.txt {HASH}",
        f"six==1.17.0 ; python_version > '3' @ file:///x {HASH}",
        f"six==1.17.0 {HASH}\x00",
        f"six==1.17.0 {HASH}\r--pre",
        f"six==1.17.0 {HASH}\u2028--pre",
    ],
)
def test_bad_locks_are_refused_before_anything_is_fetched(line: str) -> None:
    with pytest.raises(EnvironmentFailed) as failed:
        check_lock(line.encode())
    assert failed.value.code == "environment.bad_lock"


def test_oversized_and_undecodable_locks_are_refused() -> None:
    for lock in (b"#" * (environments.LOCK_BYTES + 1), b"\xff"):
        with pytest.raises(EnvironmentFailed) as failed:
            check_lock(lock)
        assert failed.value.code == "environment.bad_lock"


def test_ordinary_locks_pass() -> None:
    lock = f"""
# made by a tool
numpy==2.4.0 ; python_version >= '3.11' and sys_platform == 'linux' \\
    {HASH} \\
    {HASH}
    # via something
uvicorn[standard]==0.30.0 {HASH}
torch==2.5.0+cpu {HASH}
odd.name-x_y==1!2.0rc1.post1 {HASH}
"""
    kept = check_lock(lock.encode()).decode().splitlines()
    assert [line.split("==")[0] for line in kept] == ["numpy", "uvicorn[standard]", "torch", "odd.name-x_y"]


async def test_the_least_recently_used_goes_first_but_never_what_is_leased(
    root: Path, interpreter: Interpreter, wheels: Wheels
) -> None:
    locks = [wheels.make(f"filler{n}", {f"filler{n}.py": b"#" * 400_000}) for n in range(4)]
    cache = EnvironmentCache(root, interpreter, max_bytes=1_500_000)
    other = EnvironmentCache(root, interpreter, max_bytes=1_500_000)  # as another process would be
    async with other.lease(locks[0]) as leased:
        second = await cache.get(locks[1])
        os.utime(root / f"{leased.key}.size", (1, 1))
        third = await cache.get(locks[2])
        await cache.get(locks[1])
        fourth = await cache.get(locks[3])
        assert leased.path.is_dir(), "evicted while in use"
        assert not third.path.is_dir(), "the oldest that is not in use should have gone"
        assert second.path.is_dir()
        assert fourth.path.is_dir()
    os.utime(root / f"{leased.key}.size", (1, 1))
    await cache.get(locks[2])
    assert not leased.path.is_dir()


async def test_nothing_of_a_package_runs_while_it_is_installed(
    cache: EnvironmentCache, wheels: Wheels, tmp_path: Path
) -> None:
    proof = tmp_path / "ran"
    code = f"open({str(proof)!r}, 'a').write('x')\n"
    files = {
        "evil.pth": f"import os; {code}".encode(),
        "evil.py": code.encode(),
        "sitecustomize.py": code.encode(),
        "usercustomize.py": code.encode(),
        "broken.py": b"def (",
    }
    environment = await cache.get(wheels.make("evil", files))
    assert not proof.exists()
    site = next(environment.path.glob("lib/python3*/site-packages"))
    assert (site / "evil.pth").exists()
    assert list((site / "__pycache__").glob("evil*.pyc"))


async def test_a_lock_that_lacks_a_dependency_is_refused(cache: EnvironmentCache, wheels: Wheels) -> None:
    wheels.make("needed", {"needed.py": b""})
    lock = wheels.make("needing", {"needing.py": b""}, requires="needed")
    with pytest.raises(EnvironmentFailed) as failed:
        await cache.get(lock)
    assert "needed" in str(failed.value)


async def test_a_link_in_a_package_cannot_reach_the_host(
    cache: EnvironmentCache, wheels: Wheels, tmp_path: Path
) -> None:
    """Whether uv makes a link of it, a plain file, or refuses: the host's file is not in the environment."""
    (tmp_path / "secret.py").write_text("SECRET = 'hunter2'\n")
    lock = wheels.make("linked", {"linked.py": str(tmp_path / "secret.py").encode()}, link="linked.py")
    try:
        environment = await cache.get(lock)
    except EnvironmentFailed:
        return
    assert not [p for p in environment.path.rglob("*") if p.is_file() and b"hunter2" in p.read_bytes()]


class Wheels:
    """Wheels made on the spot, offered to uv the way an operator configures it: through its environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, name: str, files: dict[str, bytes], requires: str = "", link: str = "") -> bytes:
        """Returns a lock of it."""
        info = f"{name}-1.0.dist-info"
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        files = {
            **files,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}".encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{path},sha256={_record(data)},{len(data)}\n" for path, data in files.items())
        files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for path, data in files.items():
                entry = zipfile.ZipInfo(path)
                entry.external_attr = (0o120777 if path == link else 0o100644) << 16
                archive.writestr(entry, data)
        (self.folder / f"{name}-1.0-py3-none-any.whl").write_bytes(content.getvalue())
        return f"{name}==1.0 --hash=sha256:{hashlib.sha256(content.getvalue()).hexdigest()}\n".encode()


def _record(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheels:
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    return Wheels(folder)
