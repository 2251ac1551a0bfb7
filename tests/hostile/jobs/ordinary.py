"""Ordinary work that too strict a sandbox breaks: threads, processes, pools, its own loopback, temporary files."""

import multiprocessing
import socket
import subprocess
import sys
import tempfile
import threading

done: list[int] = []
threads = [threading.Thread(target=done.append, args=(1,)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("threads", len(done))
child = subprocess.run([sys.executable, "-c", "print('child')"], capture_output=True, text=True, check=True)
print("subprocess", child.stdout.strip())
if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        print("pool", sum(pool.map(abs, range(-3, 4))))
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
    client.sendall(b"x")
    print("loopback", server.accept()[0].recv(1) == b"x")
with tempfile.NamedTemporaryFile(dir="/tmp") as file:
    file.write(b"x" * 1000)
    print("temporary", file.tell())
with open("/out/result.txt", "w") as result:
    result.write("42")
print("errors are separate", file=sys.stderr)
