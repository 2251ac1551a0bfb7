"""Arguments: a TCP port and an abstract socket name on which the host listens, and an address of the host."""

import socket
import sys

port, abstract, address = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def attempt(name, family, target, kind=socket.SOCK_STREAM, protocol=0):
    try:
        with socket.socket(family, kind, protocol) as tried:
            tried.settimeout(2)
            if target is not None:
                tried.connect(target)
            print(name, "OPEN", flush=True)
    except OSError as error:
        print(name, "blocked", type(error).__name__, error, flush=True)


attempt("metadata", socket.AF_INET, ("169.254.169.254", 80))
attempt("internet", socket.AF_INET, ("1.1.1.1", 80))
attempt("host-address", socket.AF_INET, (address, port))
attempt("host-loopback", socket.AF_INET, ("127.0.0.1", port))
attempt("host-loopback-6", socket.AF_INET6, ("::1", port))
attempt("host-abstract", socket.AF_UNIX, "\0" + abstract)
attempt("raw", socket.AF_INET, None, socket.SOCK_RAW, 1)
attempt("packet", socket.AF_PACKET, None, socket.SOCK_RAW)
attempt("vsock", socket.AF_VSOCK, (2, 5001))
attempt("netlink", socket.AF_NETLINK, None, socket.SOCK_RAW)
attempt("alg", socket.AF_ALG, None, socket.SOCK_SEQPACKET)
attempt("bluetooth", 31, None, socket.SOCK_RAW)
try:
    print("dns OPEN", socket.gethostbyname("example.com"))
except OSError as error:
    print("dns blocked", error)
