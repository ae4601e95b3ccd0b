"""The clients of the servers' tests, and the server that runs on a target while they talk to it."""

import contextlib
import socket
import ssl
from pathlib import Path

from plugins.peers import HOST, free_port, write

SERVING = Path(__file__).resolve().parent.parent / "target" / "serving.py"
TIMEOUT_S = 10


def identity(chain):
    """A chain of Members as identity= takes it."""
    return [member.der for member in chain], chain[0].private("pkcs8", "der")


class Served:
    """A MicroPython server beside the test; `port` while it runs. Its script: serving.py and `lines`."""

    def __init__(self, target, lines, build="stock", heapsize="4M", **params):
        self.port = free_port()
        text = f"{SERVING.read_text()}\n{lines}"
        self.process = target.start(text, build=build, heapsize=heapsize, params={"PORT": self.port} | params)
        line = self.process.line()
        assert line == "READY", (line, self.process.wait(5))

    def result(self, timeout_s=20):
        done = self.process.wait(timeout_s)
        assert done.returncode == 0 and done.stderr == "", done
        return done.result


def context(roots, chain=None, folder=None):
    """A Python client's context that trusts these Members; chain: what it presents, written to `folder`."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(cadata="".join(root.pem.decode() for root in roots))
    if chain is not None:
        made.load_cert_chain(*write(folder, chain))
    return made


@contextlib.contextmanager
def connected(port, how, name="localhost"):
    """A Python client's connection."""
    with socket.create_connection((HOST, port), timeout=TIMEOUT_S) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with how.wrap_socket(raw, server_hostname=name) as stream:
            yield stream


def talk(port, how, line=b"hello\n", name="localhost"):
    """A line there and back."""
    with connected(port, how, name) as stream:
        stream.sendall(line)
        return stream.makefile("rb").readline()


@contextlib.contextmanager
def silent(port, count=1):
    """So many TCP connections that say nothing."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection((HOST, port), timeout=TIMEOUT_S))
            for _ in range(count)
        ]
