"""Arguments: paths of the host that must not be readable. Also the usual ones, the environment and other processes."""

import os
import sys

usual = "/etc/shadow /root /home /var /srv /mnt /run /proc/1/root/etc/shadow /proc/kcore /proc/kmsg /dev/vda /dev/sda"
usual += " /dev/mem /dev/kvm /dev/loop0 /dev/loop-control /var/run/docker.sock /sys /sys/firmware /sys/fs/cgroup /boot"
for path in (*usual.split(), *sys.argv[1:]):
    try:
        if os.path.isdir(path):
            found = sorted(os.listdir(path))
        else:
            with open(path, "rb", buffering=0) as file:
                found = [str(file.read(1))] if os.path.getsize(path) or not os.path.isfile(path) else []
        print("READ" if found and found != ["b''"] else "empty", path, *found)
    except OSError as error:
        print("blocked", path, error.strerror)
for path in (
    "/proc/sys/kernel/core_pattern",
    "/proc/sysrq-trigger",
    "/proc/sys/vm/overcommit_memory",
    "/etc/passwd",
    "/usr/bin/env",
):
    try:
        os.close(os.open(path, os.O_WRONLY))
        print("WRITABLE", path)
    except OSError as error:
        print("not writable", path, error.strerror)
for path in ("/proc/keys", "/proc/timer_list", "/proc/kallsyms"):
    try:
        with open(path, "rb") as file:
            print("masked" if not file.read(10) else "READ", path)
    except OSError as error:
        print("blocked", path, error.strerror)
print("environment", sorted(os.environ))
print("processes", sorted(int(name) for name in os.listdir("/proc") if name.isdigit()))
print("descriptors", sorted(os.readlink(f"/proc/self/fd/{fd}").split(":")[0] for fd in (0, 1, 2)), end=" ")
open_now = []
for fd in range(3, 256):
    try:
        os.fstat(fd)
        open_now.append(fd)
    except OSError:
        pass
print("others", open_now)
with open("/proc/1/status") as status:
    print(
        "init", *[" ".join(line.split()) for line in status if line.startswith(("Seccomp:", "CapEff:", "NoNewPrivs:"))]
    )
print("identity", os.getresuid(), os.getresgid(), os.getgroups(), os.uname().nodename)
