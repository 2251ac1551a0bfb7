"""What the sandbox runs inside itself to see whether its limits hold. Standard library only; see `selftest`."""

import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Callable


def nothing() -> None:
    print("fine", flush=True)
    time.sleep(0.15)  # long enough to be looked at from outside


def memory(size: str) -> None:
    held = [bytearray(b"\1" * (4 << 20)) for _ in range(int(size) >> 22)]
    print("taken", len(held))


def processes(count: str) -> None:
    print("began", flush=True)
    for _ in range(int(count)):
        try:
            if os.fork() == 0:
                time.sleep(30)
                os._exit(0)
        except OSError:
            print("refused", flush=True)
            break
    else:
        print("unbounded", flush=True)
    os._exit(0)


def cpu() -> None:
    end = time.monotonic() + 0.5
    os.fork()
    while time.monotonic() < end:
        pass


def network(port: str, abstract: str) -> None:
    for family, address in (
        (socket.AF_INET, ("127.0.0.1", int(port))),
        (socket.AF_INET, ("169.254.169.254", 80)),
        (socket.AF_UNIX, "\0" + abstract),
        (getattr(socket, "AF_VSOCK", 40), (2, 1)),
    ):
        try:
            with socket.socket(family) as attempt:
                attempt.settimeout(1)
                attempt.connect(address)
                print("reached", address)
        except OSError as error:
            if isinstance(error, (TimeoutError, ConnectionResetError)):
                print("reached", address)  # something answered, or at least swallowed it: not ours to talk to
    print("tried")


def time_() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(1)


def disk(size: str) -> None:
    for folder, word in (("/out", "out-bounded"), ("/tmp", "tmp-bounded")):
        # Several files: the bound on a single one is not the bound meant.
        try:
            for number in range(8):
                with open(f"{folder}/fill-{number}", "wb", buffering=0) as file:
                    for _ in range(int(size) >> 19):
                        file.write(b"\1" * (1 << 16))
        except OSError:
            print(word, flush=True)
        for number in range(8):
            if os.path.exists(f"{folder}/fill-{number}"):
                os.unlink(f"{folder}/fill-{number}")


def files() -> None:
    try:
        for number in range(10_000):
            os.close(os.open(f"/out/{number}", os.O_CREAT | os.O_WRONLY))
    except OSError:
        print("bounded", flush=True)


def log() -> None:
    while True:
        os.write(1, b"x" * (1 << 20))


def calls() -> None:
    """By number, as libc has no wrappers: (x86-64, aarch64)."""
    aarch64 = os.uname().machine == "aarch64"
    library = ctypes.CDLL(None, use_errno=True)
    for name, numbers, arguments in (
        ("unshare", (272, 97), (0x10000000,)),
        ("bpf", (321, 280), (0, 0, 0)),
        ("io_uring_setup", (425, 425), (8, ctypes.create_string_buffer(256))),
        ("keyctl", (250, 219), (0, -3, 0)),
        ("userfaultfd", (323, 282), (0,)),
        ("ptrace", (101, 117), (0, 0, 0, 0)),  # TRACEME: attaching to our own init would only stop the show
    ):
        if library.syscall(numbers[aarch64], *arguments) >= 0:
            print("allowed", name)
    print("tried")


def kernel(release: str, version: str, boot: str) -> None:
    """Whether the kernel is the host's, of which the arguments are known."""
    own = os.uname()
    if (own.release, own.version) == (release, version):
        print("the host's release")
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            if file.read().strip() == boot:
                print("the host's boot")
    except OSError:
        pass
    print("tried")


def host() -> None:
    for path in ("/etc/shadow", "/root", "/home", "/var", "/proc/1/root/etc/shadow", "/dev/mem"):
        try:
            os.close(os.open(path, os.O_RDONLY))
            print("reached", path)
        except OSError:
            pass
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/usr/fill", "/fill", "/etc/fill"):
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            print("reached", path)
        except OSError:
            pass
    print("tried")


if __name__ == "__main__":
    attacks: dict[str, Callable[..., None]] = {"time": time_}
    attacks.update(
        (f.__name__, f) for f in (nothing, memory, processes, cpu, network, disk, files, log, calls, kernel, host)
    )
    attacks[sys.argv[1]](*sys.argv[2:])
