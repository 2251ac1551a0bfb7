"""The account PostgreSQL runs as when Hypernode runs as root, which PostgreSQL refuses to be.

The data folder and the binaries often lie below a private home (0700). Opening that home to everybody would be the
easy way; here the one account is allowed to pass through it, by an access control entry on the folders in the way.
"""

from __future__ import annotations

import logging
import os
import pwd
import struct
import subprocess
from pathlib import Path
from typing import Final

import msgspec

from hypernode.kernel.errors import Unavailable

log = logging.getLogger(__name__)

ACCOUNT: Final = "hypernode-db"

_ACL: Final = "system.posix_acl_access"
_ACL_HEADER: Final = struct.Struct("<I")
_ACL_ENTRY: Final = struct.Struct("<HHI")  # tag, permissions, id: linux/posix_acl_xattr.h
_ACL_VERSION: Final = 2
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_NO_ID: Final = 0xFFFFFFFF
_EXECUTE: Final = 1


class SystemUser(msgspec.Struct, frozen=True):
    """Numeric ids to start a process with."""

    uid: int
    gid: int


def database_user() -> SystemUser | None:
    """The account for PostgreSQL, made if it is missing; None when this process isn't root and may run it itself.

    Raises `Unavailable` if the account is missing and cannot be made.
    """
    if os.geteuid() != 0:
        return None
    for _ in range(2):
        try:
            entry = pwd.getpwnam(ACCOUNT)
        except KeyError:
            _make_account()
        else:
            return SystemUser(uid=entry.pw_uid, gid=entry.pw_gid)
    raise Unavailable(f"PostgreSQL cannot run as root, and the account {ACCOUNT} could not be made")


def _make_account() -> None:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    try:
        # A second process may make it at the same moment: the caller looks it up again, whatever this returns.
        result = subprocess.run(
            [*command, "--shell", "/usr/sbin/nologin", ACCOUNT],
            check=False,
            capture_output=True,
            text=True,
            env={"PATH": path},
        )
    except FileNotFoundError:
        raise Unavailable(
            f"PostgreSQL cannot run as root and useradd is missing; make a system account named {ACCOUNT}"
        ) from None
    if result.returncode:
        log.warning("useradd %s: %s", ACCOUNT, result.stderr.strip())


def allow_passage(path: Path, user: SystemUser) -> None:
    """Lets `user` pass through every folder above `path`, without letting them list it, and nobody else.

    Where the file system has no access control lists, the folder becomes passable (not listable) for everybody, with
    a warning.
    """
    for folder in path.resolve().parents:
        info = folder.stat()
        passable = info.st_mode & (0o100 if info.st_uid == user.uid else 0o001)
        if passable:
            continue
        try:
            _grant_passage(folder, user)
        except OSError as error:
            log.warning("%s has no access control lists (%s): making it passable for all", folder, error)
            folder.chmod(info.st_mode & 0o7777 | 0o011)


def _grant_passage(folder: Path, user: SystemUser) -> None:
    entries = _read_acl(folder)
    group_rights = next(rights for tag, rights, _ in entries if tag == _GROUP_OBJ)
    mask = next((rights for tag, rights, _ in entries if tag == _MASK), group_rights)
    # chmod on a folder with a list changes the mask: an entry may be there and count for nothing.
    if (_USER, _EXECUTE, user.uid) in entries and mask & _EXECUTE:
        return
    kept = [entry for entry in entries if entry[0] != _MASK and entry[::2] != (_USER, user.uid)]
    # The mask bounds what named users get; the group's own entry still bounds the group.
    changed = sorted([*kept, (_USER, _EXECUTE, user.uid), (_MASK, mask | _EXECUTE, _NO_ID)], key=lambda e: (e[0], e[2]))
    os.setxattr(folder, _ACL, _ACL_HEADER.pack(_ACL_VERSION) + b"".join(_ACL_ENTRY.pack(*entry) for entry in changed))


def _read_acl(folder: Path) -> list[tuple[int, int, int]]:
    """The folder's entries as (tag, rights, id); those its mode stands for if it has no list."""
    try:
        packed = os.getxattr(folder, _ACL)
    except OSError:
        mode = folder.stat().st_mode
        return [
            (_USER_OBJ, mode >> 6 & 7, _NO_ID),
            (_GROUP_OBJ, mode >> 3 & 7, _NO_ID),
            (_OTHER, mode & 7, _NO_ID),
        ]
    return [tuple(entry) for entry in _ACL_ENTRY.iter_unpack(packed[_ACL_HEADER.size :])]
