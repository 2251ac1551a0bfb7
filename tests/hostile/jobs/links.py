"""Everything in /out that could lead a careless collector somewhere else, or stop it."""

import os
import socket
import sys

os.chdir("/out")


def attempt(name, act):
    try:
        act()
        print(name, "made")
    except OSError as error:
        print(name, "refused", error.strerror)


def set_user_id():
    with open("setuid", "w") as file:
        file.write("#!/bin/sh\nid\n")
    os.chmod("setuid", 0o6755)


def deep():
    for _ in range(600):
        os.mkdir("x" * 200)
        os.chdir("x" * 200)


attempt("symlink", lambda: os.symlink("/etc/shadow", "link.txt"))
attempt("folder symlink", lambda: os.symlink("/", "folder"))
attempt("relative symlink", lambda: os.symlink("../../../../../../etc/passwd", "relative"))
attempt("hard link to the host", lambda: os.link(sys.executable, "hard"))
attempt("fifo", lambda: os.mkfifo("pipe"))
attempt("socket", lambda: socket.socket(socket.AF_UNIX).bind("socket"))
attempt("device", lambda: os.mknod("null", 0o20666, os.makedev(1, 3)))
attempt("set-user-id", set_user_id)
attempt("newline", lambda: open("a\nb", "w").close())
attempt("not UTF-8", lambda: open(b"\xff\xfe", "w").close())
attempt("escape", lambda: open("\x1b[2J", "w").close())
open("sparse", "w").close()
attempt("sparse", lambda: os.truncate("sparse", 1 << 40))
open("twice", "w").close()
attempt("hard link", lambda: os.link("twice", "twice-2"))
attempt("deep", deep)
os.chdir("/out")
with open("fine.txt", "w") as file:
    file.write("fine")
os.mkdir("plots")
with open("plots/a.png", "w") as file:
    file.write("png")
