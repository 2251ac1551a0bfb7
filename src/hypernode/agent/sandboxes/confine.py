"""What a child of the process sandbox does before anything else: bound itself, confine itself, and run one script.

    python -I -S confine.py SETTINGS SCRIPT [ARGUMENT …]

SETTINGS is a JSON object: `lifeline` (a descriptor whose end means that the agent has gone), `limits` (resource limits
by number), `seccomp` (a file with a filter program, or null), `read` and `write` (files and folders). Standard library
only. What the kernel cannot do is left out; what it refuses ends the child.
"""

import ctypes
import json
import os
import resource
import runpy
import struct
import sys
import threading

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446
RULE_PATH_BENEATH = 1
READ_FILE, READ_FOLDER, EXECUTE = 1 << 2, 1 << 3, 1 << 0
WRITE_FILE = 1 << 1
TRUNCATE, DEVICE_IOCTL = 1 << 14, 1 << 15
READ = READ_FILE | READ_FOLDER | EXECUTE
ON_FILES = READ_FILE | WRITE_FILE | EXECUTE | TRUNCATE | DEVICE_IOCTL


def main() -> None:
    settings = json.loads(sys.argv[1])
    for number, value in settings["limits"].items():
        _, hard = resource.getrlimit(int(number))
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(int(number), (value, value))
    if sys.platform == "linux":
        confine(settings["read"], settings["write"], settings["seccomp"])
    threading.stack_size(256 << 10)
    threading.Thread(target=die_with_agent, args=(settings["lifeline"],), daemon=True).start()
    script, *arguments = sys.argv[2:]
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


def die_with_agent(lifeline: int) -> None:
    """The agent never writes: a read that returns means that it has ended, however it did."""
    os.read(lifeline, 1)
    os._exit(1)


def confine(read: list[str], write: list[str], seccomp: str | None) -> None:
    """Landlock (Linux 5.13 and later; TCP from 6.7) and a system call filter, for this process and for ever."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    version = library.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version > 0:
        landlock(library, version, read, write)
    if seccomp is not None:
        with open(seccomp, "rb") as file:
            program = file.read()
        code = ctypes.create_string_buffer(program, len(program))
        # struct sock_fprog: a count of eight-byte instructions, padding, a pointer.
        header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
        if library.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "seccomp")


def landlock(library: ctypes.CDLL, version: int, read: list[str], write: list[str]) -> None:
    """Everything that this version of Landlock knows is forbidden, but for reading and writing where it is said."""
    files = (1 << (13 if version < 2 else 14 if version < 3 else 15 if version < 5 else 16)) - 1
    network = 3 if version >= 4 else 0  # to bind and to connect TCP
    scope = 3 if version >= 6 else 0  # abstract sockets, and signals to processes outside
    attributes = struct.pack("=QQQ", files, network, scope)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = library.syscall(LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if rules < 0:
        raise OSError(ctypes.get_errno(), "landlock")
    for path, allowed in (*((path, READ) for path in read), *((path, files) for path in write)):
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        mask = allowed & files if os.path.isdir(path) else allowed & files & ON_FILES
        rule = struct.pack("=Qi", mask, descriptor)
        number = ctypes.c_int(RULE_PATH_BENEATH)
        if library.syscall(LANDLOCK_ADD_RULE, rules, number, rule, ctypes.c_uint32(0)) != 0:
            raise OSError(ctypes.get_errno(), f"landlock: {path}")
        os.close(descriptor)
    if library.syscall(LANDLOCK_RESTRICT_SELF, rules, ctypes.c_uint32(0)) != 0:
        raise OSError(ctypes.get_errno(), "landlock")
    os.close(rules)


if __name__ == "__main__":
    main()
