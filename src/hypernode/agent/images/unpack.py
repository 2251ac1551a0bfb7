"""Unpacks an image: a process that makes a folder of files from layers that a stranger packed, and ends.

    python -m hypernode.agent.images.unpack LAYOUT TARGET BYTES FILES

umoci applies the layers, in a sandbox without network, rights or anything of the host in it, as a user who owns nothing
else. As root it works on a volume, whose file system bounds bytes and files however well the layers are compressed;
otherwise the folder is watched. What it made is then made harmless: readable to all, writable and set-uid to nobody, of
files, folders and links only, and copied to TARGET.

The last line of the standard output is `ok BYTES FILES`, or the code of an ImageError and what it says.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from typing import Final, NamedTuple

from hypernode.agent.sandboxes import child, folders, host, namespaces, volumes

USER: Final = 231_071
"""Host user that umoci becomes: beside those of jobs, and of no job."""
INSIDE: Final = 1000
SECONDS: Final = 15 * 60.0
WATCH_S: Final = 0.2
ADDRESS_BYTES: Final = 16 << 30  # Go reserves much and uses little
TOP_ENTRIES: Final = 200
"""Entries of an image's root folder: each is a mount of every sandbox."""
BLOCK_BYTES: Final = 4096
INODE_BYTES: Final = 256
SAID_BYTES: Final = 8 << 10

_ETC: Final = {"hosts": "127.0.0.1 localhost\n::1 localhost\n", "hostname": "job\n", "resolv.conf": ""}


class Failed(Exception):
    """The image cannot be unpacked. `code` is that of an ImageError."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Place(NamedTuple):
    """Where umoci works, as the host sees it."""

    layout: str
    work: str
    volume: bool


def unpack(layout: str, target: str, most_bytes: int, most_files: int) -> tuple[int, int]:
    """Make the folder `target` from the image tagged `image` of a layout, beside which there is room to work.

    Its bytes and its entries. Raises Failed.
    """
    place = _prepare(layout, most_bytes, most_files)
    root = f"{place.work}/root"
    _umoci(place, most_bytes, most_files)
    used, files = seal(root)
    if used > most_bytes or files > most_files:
        raise _too_large(most_bytes, most_files)
    if place.volume:
        # As plain files on the host's own file system they cost no mount a job, and are gone by deleting them.
        command = ["cp", "-dR", "--preserve=mode,timestamps,links", root, target]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            print(done.stderr[-SAID_BYTES:], file=sys.stderr)
            raise Failed("image.failed", "it cannot be copied to where images are kept; the node's log says why")
        volumes.destroy(place.work)
    else:
        os.rename(root, target)
        os.rmdir(place.work)
    _sync(target)
    return used, files


def _prepare(layout: str, most_bytes: int, most_files: int) -> Place:
    folder = os.path.dirname(layout)
    missing: dict[str, str] = {}
    places = host.private_place([folder], missing) if os.geteuid() == 0 else ""
    if not places:
        if os.geteuid() == 0:
            raise Failed("image.failed", "; ".join(missing.values()))
        work = f"{folder}/work"
        os.mkdir(work)
        return Place(layout, work, volume=False)
    # Both lie below folders that are closed to the user we become.
    inner, work = f"{places}/layout", f"{places}/work"
    os.mkdir(inner)
    os.mkdir(work)
    namespaces.mount(layout, inner, flags=namespaces.MS_BIND)
    # Room for what the file system needs itself. A file of one byte takes a block, so there cannot be more of them.
    files = min(most_files, most_bytes // BLOCK_BYTES)
    volumes.make(folder, "image", work, most_bytes * 33 // 32 + files * INODE_BYTES + BLOCK_BYTES * 256, files, USER)
    return Place(inner, work, volume=True)


# ------------------------------------------------------------------------------------------------ umoci


def _umoci(place: Place, most_bytes: int, most_files: int) -> None:
    os.chmod(place.layout, 0o755)
    for path, state in folders.walk(place.layout):
        os.chmod(path, 0o755 if stat.S_ISDIR(state.st_mode) else 0o644)
    bubblewrap = shutil.which("bwrap")
    if bubblewrap is None:
        raise Failed("image.failed", "bubblewrap is missing: apt install bubblewrap")
    identity = child.Identity(
        user=USER if place.volume else None,
        group=None,
        file_bytes=most_bytes,
        memory_bytes=ADDRESS_BYTES,
        processes=None,
    )
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    try:
        process = child.spawn(bubblewrap, ["bwrap", *_options(place)], identity, (null, writer, writer), ())
    finally:
        os.close(writer)
        os.close(null)
    said, over = _wait(process, reader, place, most_bytes, most_files)
    _, status = os.waitpid(process, 0)
    if over or (place.volume and _is_full(place.work)):
        raise _too_large(most_bytes, most_files)
    if status == 0:
        return
    lowered = said.lower()
    if "file too large" in lowered or "no space left" in lowered:
        raise _too_large(most_bytes, most_files)
    if (
        "digest mismatch" in lowered
        or "diffid" in lowered
        or "verified reader" in lowered
        or "size mismatch" in lowered
    ):
        raise Failed("image.tampered", "a layer is not what its digest names")
    if "input/output error" in lowered or "read-only file system" in lowered:
        raise Failed("image.failed", "the disk failed, or is full")
    print(said, file=sys.stderr)
    if os.waitstatus_to_exitcode(status) not in range(128) or "bwrap: " in said:
        raise Failed("image.failed", "umoci was ended from outside, or could not be started")
    raise Failed("image.unsupported", "umoci cannot unpack a layer of it")


def _options(place: Place) -> list[str]:
    made = ["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"]
    made += ["--uid", str(INSIDE), "--gid", str(INSIDE), "--cap-drop", "ALL", "--clearenv", "--setenv", "PATH"]
    made += ["/usr/bin:/bin", "--setenv", "HOME", "/tmp", "--ro-bind", "/usr", "/usr"]
    for folder in ("/bin", "/lib", "/lib64"):
        if os.path.islink(folder):
            made += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            made += ["--ro-bind", folder, folder]
    made += ["--proc", "/proc", "--dev", "/dev", "--size", "16777216", "--tmpfs", "/tmp"]
    made += ["--ro-bind", place.layout, "/layout", "--bind", place.work, "/work", "--remount-ro", "/", "--chdir", "/"]
    return [*made, "--", "umoci", "raw", "unpack", "--rootless", "--image", "/layout:image", "/work/root"]


def _wait(process: int, reader: int, place: Place, most_bytes: int, most_files: int) -> tuple[str, bool]:
    """Until it has ended. What it said last, and whether it was killed for having written too much."""
    said, over, until = b"", False, time.monotonic() + SECONDS
    ended = os.pidfd_open(process)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(reader, select.POLLIN)
    try:
        while True:
            wait = min(WATCH_S if not place.volume else SECONDS, max(until - time.monotonic(), 0))
            ready = {descriptor for descriptor, _ in poll.poll(wait * 1000)}
            if reader in ready:
                piece = os.read(reader, 1 << 16)
                said = (said + piece)[-SAID_BYTES:]
                if not piece:
                    poll.unregister(reader)
            if ended in ready:
                return said.decode(errors="replace"), over
            if not place.volume and not over and folders.over_limit(place.work, most_files, most_bytes):
                over = True
                signal.pidfd_send_signal(ended, signal.SIGKILL)
            if time.monotonic() > until:
                signal.pidfd_send_signal(ended, signal.SIGKILL)
                raise Failed("image.too_large", f"it could not be unpacked within {SECONDS:.0f} s")
    finally:
        os.close(ended)
        os.close(reader)


def _is_full(work: str) -> bool:
    descriptor = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return volumes.is_full(descriptor)
    finally:
        os.close(descriptor)


def _too_large(most_bytes: int, most_files: int) -> Failed:
    return Failed(
        "image.too_large", f"unpacked it has more than the {most_bytes} bytes or {most_files} files this node takes"
    )


# ------------------------------------------------------------------------------------------------ sealing


def seal(root: str) -> tuple[int, int]:
    """Make an unpacked image harmless to hand to anybody. Its bytes and entries. Raises Failed for an odd root folder.

    A job is none of the users that the image's files belong to, so what one of them may read or run, it may. Devices,
    sockets and pipes go. /etc gets what engines put there: names of this machine only, and no name server.
    """
    used = files = 0
    if not stat.S_ISDIR(os.lstat(root).st_mode):
        raise Failed("image.unsupported", "its root folder is none")
    os.chmod(root, 0o755)
    entries = os.listdir(root)
    if len(entries) > TOP_ENTRIES:
        raise Failed("image.unsupported", f"its root folder has {len(entries)} entries, at most {TOP_ENTRIES} can be")
    _fill_etc(f"{root}/etc")
    for path, state in folders.walk(root):
        kind = stat.S_IFMT(state.st_mode)
        if kind == stat.S_IFREG:
            run = 0o111 if state.st_mode & 0o111 else 0
            os.chmod(path, state.st_mode & 0o755 | 0o444 | run)
        elif kind == stat.S_IFDIR:
            os.chmod(path, 0o755)
        elif kind != stat.S_IFLNK:
            os.unlink(path)
            continue
        files += 1
        used += state.st_blocks * 512
    return used, files


def _fill_etc(folder: str) -> None:
    if not os.path.lexists(folder):
        os.mkdir(folder)
    if os.path.islink(folder) or not os.path.isdir(folder):
        return
    os.chmod(folder, 0o755)
    for name, text in _ETC.items():
        path = f"{folder}/{name}"
        if os.path.isdir(path) and not os.path.islink(path):
            continue
        if os.path.lexists(path):
            os.unlink(path)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644), "w") as file:
            file.write(text)


def _sync(folder: str) -> None:
    """Have it on the disk before anybody takes it for whole: a power cut must not leave empty files behind."""
    subprocess.run(["sync", "-f", folder], check=True)


def main() -> None:
    """Entry point. Whoever starts it sees to it that it ends with them, and its sandbox ends with it."""
    layout, target, most_bytes, most_files = sys.argv[1:]
    os.umask(0o022)
    try:
        used, files = unpack(layout, target, int(most_bytes), int(most_files))
    except Failed as error:
        print(error.code, error)
        sys.exit(1)
    except OSError as error:
        print("image.failed", error)
        sys.exit(1)
    print("ok", used, files)


if __name__ == "__main__":
    main()
