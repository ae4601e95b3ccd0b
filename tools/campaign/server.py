"""10,000 connections to a server: not a byte of heap grows, and honest clients are served throughout.

    make campaign NAME=server

On `stock32` with 192 KB of heap and on `stock`, under asyncio, with an EC identity. Of each ten clients seven
echo a line and leave, one says something that is no TLS, one hangs up in the middle of its handshake, and one
says nothing and hangs up. Exit status 1 if an honest client was not served, or if more heap is in use at the
end than after the first thousand.
"""

import socket
import ssl
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools" / "bench"), str(ROOT / "lib" / "certstore")]

import server_rows as rows  # noqa: E402

from plugins.pki import Pki  # noqa: E402

CONNECTIONS = 10_000
EVERY = 1000
BUILDS = (("stock32", rows.HEAP_32), ("stock", rows.HEAP_64))


def honest(port, how):
    client = rows.Asked(port, how)
    if client.ask(b"a line\n") != b"a line\n":
        raise SystemExit("an honest client got another answer")
    client.close()


def no_tls(port, how):
    with socket.create_connection((rows.HOST, port), timeout=rows.TIMEOUT_S) as raw:
        raw.sendall(b"GET / HTTP/1.0\r\n\r\n")


def half(port, how):
    """A ClientHello, and the end."""
    outgoing = ssl.MemoryBIO()
    hello = how.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    try:
        hello.do_handshake()
    except ssl.SSLWantReadError:
        pass
    with socket.create_connection((rows.HOST, port), timeout=rows.TIMEOUT_S) as raw:
        raw.sendall(outgoing.read())
        raw.recv(1)


def silent(port, how):
    socket.create_connection((rows.HOST, port), timeout=rows.TIMEOUT_S).close()


KINDS = (honest, honest, honest, no_tls, honest, half, honest, silent, honest, honest)


def campaign(build, heapsize, folder, pki, connections=CONNECTIONS):
    """[bytes in use], one for each EVERY connections."""
    how = rows.context(pki)
    found = []
    started = time.monotonic()
    with rows.echo_server(build, heapsize, rows.member_files(folder, "ec", pki)) as (_, port):
        asker = rows.Asked(port, how)
        for number in range(1, connections + 1):
            KINDS[number % len(KINDS)](port, how)
            if number % EVERY == 0:
                found.append(rows.settled(asker, port, how))
                seconds = time.monotonic() - started
                print(f"{build}: {number:,} connections, {found[-1]:,} bytes, {seconds:.0f} s", flush=True)
        told = asker.figures()
        asker.close()
    print(f"{build}: {told}")
    return found


def main():
    pki = Pki()
    grown = {}
    with tempfile.TemporaryDirectory() as folder:
        for build, heapsize in BUILDS:
            found = campaign(build, heapsize, folder, pki)
            grown[build] = found[-1] - found[0]
    print(", ".join(f"{build} grew by {count} bytes" for build, count in grown.items()))
    return 1 if any(count > 0 for count in grown.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
