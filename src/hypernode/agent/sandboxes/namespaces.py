"""The mount and namespace calls of Linux, through libc: the launcher must not pay a fork and exec for each."""

from __future__ import annotations

import ctypes
import fcntl
import os

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_NOATIME = 1024
MS_BIND = 4096
MS_REC = 16384
MS_SLAVE = 1 << 19
MNT_DETACH = 2
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
NS_GET_USERNS = 0xB701
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). Raises OSError naming the target."""
    result = _libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(), flags, data.encode() or None)
    _check(result, target)


def unmount(target: str) -> None:
    """Detach a mount; the file system goes once its last user does. Raises OSError naming the target."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), target)


def private_mounts() -> None:
    """Give this process its own mount namespace. Mounts made here are invisible outside and die with the processes
    in it; unmounts of the host still arrive, so that no disk is kept busy. Raises PermissionError if refused."""
    _check(_libc.unshare(CLONE_NEWNS), "unshare")
    mount("none", "/", flags=MS_REC | MS_SLAVE)


def enter_network(process: int) -> None:
    """Move this process into the network namespace of another; there is no way back, so call it in a child only.

    Without root it first enters the user namespace that owns that network: the user who made it rules there, however
    many more the process itself has gone through since. Raises OSError.
    """
    network = os.open(f"/proc/{process}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if os.geteuid() != 0:
        owner = fcntl.ioctl(network, NS_GET_USERNS)
        _check(_libc.setns(owner, CLONE_NEWUSER), "the user namespace")
    if os.path.sameopenfile(network, own := os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)):
        raise OSError(f"process {process} has no network of its own")
    os.close(own)
    _check(_libc.setns(network, CLONE_NEWNET), "the network namespace")


def die_with_parent(parent: int, signal_number: int) -> None:
    """Have the kernel send this process `signal_number` when the thread that forked it ends.

    Must come after any change of user, which clears the setting. Raises OSError if `parent` has gone already.
    """
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        raise OSError("the parent has ended")


def adopt_orphans() -> None:
    """Have descendants whose parent ended become this process's children instead of the host's init's, so that no
    zombie waits for an init that does not reap. Raises OSError."""
    _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")
