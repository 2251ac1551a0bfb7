"""Output volumes: a small ext4 file system per job, in a file, on a loop device.

The one disk limit that works on every host: bytes and inodes are bounded by the file system itself, deleting it costs
the same whether it holds one file or a million, and mount options keep set-uid bits, devices and programs harmless.
The image file is unlinked as soon as the loop device holds it, and the device frees itself with its last mount: a
killed node leaves neither behind.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
import tempfile

from hypernode.agent.sandboxes import namespaces

LOOP_CTL_GET_FREE = 0x4C82
LOOP_CONFIGURE = 0x4C0A
LO_FLAGS_AUTOCLEAR = 4
LOOP_INFO_SIZE = 232
LOOP_INFO_FLAGS_OFFSET = 52
LOOP_CONFIG_SIZE = 304
LOOP_CONFIG_INFO_OFFSET = 8
EXT4_IOC_SHUTDOWN = 0x8004587D
SHUTDOWN_WITHOUT_FLUSH = 2
MINIMUM_BYTES = 1 << 20
ATTEMPTS = 64
TEMPLATES = 64
"""Sizes are chosen by submitters, so the number of templates needs a bound; the oldest go."""

# The journal protects against crashes, after which nobody wants the volume any more. Lazy initialisation would have
# the kernel write the whole inode table in the background, hence noinit_itable.
_OPTIONS = "noinit_itable,nobarrier,errors=remount-ro"
_FLAGS = namespaces.MS_NOSUID | namespaces.MS_NODEV | namespaces.MS_NOEXEC | namespaces.MS_NOATIME


def template(folder: str, size_bytes: int, files: int) -> str:
    """Path of an empty file system of this size, made by mkfs.ext4 on the first call. Raises OSError if it fails."""
    size_bytes = max(size_bytes, MINIMUM_BYTES)
    path = f"{folder}/template-{size_bytes}-{files}.ext4"
    if os.path.exists(path):
        return path
    descriptor, part = tempfile.mkstemp(prefix="part-", dir=folder)  # several jobs may want the same size at once
    os.ftruncate(descriptor, size_bytes)
    os.close(descriptor)
    command = ["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-b", "4096", "-m", "0", "-N", str(files + 16), part]
    environment = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=60)
        if done.returncode != 0:
            message = done.stderr.decode(errors="replace").strip()[-300:]
            raise OSError(errno.EIO, f"mkfs.ext4 refused {size_bytes} bytes and {files} files: {message}")
        os.rename(part, path)
        _forget_templates(folder)
    finally:
        if os.path.exists(part):
            os.unlink(part)
    return path


def make(folder: str, key: str, place: str, size_bytes: int, files: int, owner: int) -> str:
    """Mount a fresh volume on the existing folder `place`, its root owned by `owner`. Its device. Raises OSError."""
    image = f"{folder}/volume-{key}.ext4"
    try:
        _copy_sparse(template(folder, size_bytes, files), image)
        descriptor = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    finally:
        if os.path.exists(image):
            os.unlink(image)
    try:
        device, held = _attach(descriptor)
    finally:
        os.close(descriptor)
    try:
        namespaces.mount(device, place, "ext4", _FLAGS, _OPTIONS)
    finally:
        os.close(held)  # from here the mount alone holds the device
    os.rmdir(f"{place}/lost+found")
    hand_over(place, owner)
    return device


def hand_over(place: str, owner: int) -> None:
    """Make the root of a volume its owner's. Raises OSError."""
    os.chown(place, owner, owner)
    os.chmod(place, 0o755)


def destroy(place: str) -> None:
    """Unmount and forget a volume and what is on it. Fine if there is none."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        # Nobody will read the image again: drop what isn't written instead of flushing it for tens of milliseconds.
        if os.path.ismount(place):
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", SHUTDOWN_WITHOUT_FLUSH))
    except OSError:
        pass
    finally:
        os.close(descriptor)
    try:
        namespaces.unmount(place)
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: not mounted
            raise


def is_full(root: int) -> bool:
    """Whether the file system of this folder descriptor has no free block or no free inode."""
    state = os.fstatvfs(root)
    return state.f_bavail == 0 or state.f_ffree == 0


def _forget_templates(folder: str) -> None:
    with os.scandir(folder) as entries:
        found = [(entry.stat().st_mtime, entry.path) for entry in entries if entry.name.startswith("template-")]
    for _, path in sorted(found)[:-TEMPLATES]:
        os.unlink(path)


def _copy_sparse(source: str, target: str) -> None:
    with open(source, "rb", buffering=0) as reader, open(target, "xb", buffering=0) as writer:
        size = os.fstat(reader.fileno()).st_size
        os.fchmod(writer.fileno(), 0o600)
        os.ftruncate(writer.fileno(), size)
        position = 0
        while position < size:
            try:
                start = os.lseek(reader.fileno(), position, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # only a hole is left
                    return
                raise
            position = os.lseek(reader.fileno(), start, os.SEEK_HOLE)
            while start < position:
                start += os.copy_file_range(reader.fileno(), writer.fileno(), position - start, start, start)


def _attach(image: int) -> tuple[str, int]:
    """Put an image on a free loop device that clears itself. Returns its path and a descriptor that holds it."""
    info = bytearray(LOOP_INFO_SIZE)
    struct.pack_into("I", info, LOOP_INFO_FLAGS_OFFSET, LO_FLAGS_AUTOCLEAR)
    config = bytearray(LOOP_CONFIG_SIZE)
    struct.pack_into("II", config, 0, image, 0)  # block size 0: the default, 512
    config[LOOP_CONFIG_INFO_OFFSET : LOOP_CONFIG_INFO_OFFSET + LOOP_INFO_SIZE] = info
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(ATTEMPTS):
            number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
            device = f"/dev/loop{number}"
            held = os.open(device, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(held, LOOP_CONFIGURE, bytes(config))
                return device, held
            except OSError as error:
                os.close(held)
                if error.errno != errno.EBUSY:  # EBUSY: another process was faster
                    raise
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "no loop device is free")
