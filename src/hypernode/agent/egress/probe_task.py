"""What the probe runs in a sandbox: the way through the proxy must be open, and every other one closed.

Standard library only. Arguments: the proxy's port, and one on which the host listens.
"""

import socket
import sys


def through_the_proxy(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 5) as proxy:
        proxy.sendall(b"CONNECT probe.invalid:443 HTTP/1.1\r\nHost: probe.invalid:443\r\n\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = proxy.recv(1000)
            if not more:
                break
            answer += more
        proxy.sendall(b"ping")
        proxy.shutdown(socket.SHUT_WR)
        if answer.startswith(b"HTTP/1.1 200 ") and proxy.recv(5) == b"pong":
            print("answered", flush=True)


def directly(port: int) -> None:
    ways: list[tuple[int, int, tuple[str, int]]] = [
        (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)),
        (socket.AF_INET6, socket.SOCK_STREAM, ("::1", port)),
        (socket.AF_INET, socket.SOCK_STREAM, ("169.254.169.254", 80)),
        (socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 80)),
        (socket.AF_INET6, socket.SOCK_STREAM, ("2001:db8::1", 80)),
        (socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 53)),
    ]
    for family, kind, address in ways:
        try:
            with socket.socket(family, kind) as attempt:
                attempt.settimeout(1)
                attempt.connect(address)
                attempt.send(b"x")
                print("reached", address, flush=True)
        except (TimeoutError, ConnectionResetError):
            print("reached", address, flush=True)  # something answered, or at least swallowed it
        except OSError:
            pass


if __name__ == "__main__":
    try:
        through_the_proxy(int(sys.argv[1]))
    except OSError as error:
        print("proxy:", error)
    directly(int(sys.argv[2]))
    print("tried")
