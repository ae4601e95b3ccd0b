"""Rows of servers: handshakes a second, the smallest heap for one, open connections, and what stays behind.

The clients are Python's, in this process; the server is server.py beside, on MicroPython.
"""

import contextlib
import json
import os
import socket
import ssl
import statistics
import subprocess
import threading
import time
from pathlib import Path

from plugins.interpreters import command
from plugins.peers import HOST, free_port, write

SCRIPT = Path(__file__).resolve().parent / "server.py"
ECHO_SCRIPT = SCRIPT.with_name("server_echo.py")
BARE = "tls, the same loop"
TIMEOUT_S = 5
ROUNDS, EACH = 60, 5
# What a server has on stock32 in the row that counts open connections, and how many are tried at most.
HEAP_32, MOST_32 = "192k", 12
HEAP_64, MOST_64 = "8M", 200
ECHO_BYTES = 128
# All clients together; with many open, each costs a look at all others.
ECHOES = 600
WARM, CONNECTIONS = 100, 1000
SAMPLES = 10
HEAP_SMALLEST, START_SMALLEST = "512k", 24_576


def member_files(folder, kind, pki, clients=None):
    """What server.py reads, in a folder of its own; clients: the Member of their CA."""
    home = Path(folder) / f"serving-{kind}-{'mutual' if clients else 'plain'}"
    home.mkdir(exist_ok=True)
    chain = getattr(pki, kind)
    (home / "leaf.der").write_bytes(chain[0].der)
    (home / "above.der").write_bytes(chain[1].der)
    (home / "key.der").write_bytes(chain[0].private("traditional", "der"))
    if clients:
        (home / "ca.der").write_bytes(clients.der)
    return home


def context(pki, chain=None, folder=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(cadata=(pki.root.pem + pki.rsa_root.pem).decode())
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    if chain:
        made.load_cert_chain(*write(folder, chain))
    return made


def connect(port, how):
    raw = socket.create_connection((HOST, port), timeout=TIMEOUT_S)
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return how.wrap_socket(raw, server_hostname="localhost")
    except BaseException:
        raw.close()
        raise


@contextlib.contextmanager
def started(build, heapsize, *words, script=SCRIPT):
    """The server's process."""
    argv, env = command(build, script, *map(str, words), heapsize=heapsize)
    process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def demand(process, line):
    found = process.stdout.readline()
    if found != line + "\n":
        raise SystemExit(f"{SCRIPT.name} said {found!r}")


def rate(home, how, rounds=ROUNDS, build="stock"):
    """[(seconds a connection with securesocket, with tls)]"""
    ports = free_port(), free_port()
    with started(build, "2M", "rate", home, *ports, rounds, EACH) as process:
        demand(process, "READY")
        for _ in range(rounds + 1):
            for port in ports:
                for _ in range(EACH):
                    with connect(port, how) as connection:
                        connection.recv(1)
        found = json.loads(process.stdout.read())
    return [[side / EACH / 1e6 for side in pair] for pair in found]


def smallest(side, home, how, start=START_SMALLEST):
    """Bytes of free heap from which on a handshake passes on stock32."""
    port = free_port()
    with started("stock32", HEAP_SMALLEST, "smallest", side, home, port, start) as process:
        for line in process.stdout:
            if line != "GO\n":
                return int(line)
            # It fails below the smallest.
            with contextlib.suppress(OSError), connect(port, how) as connection:
                connection.recv(1)
    raise SystemExit(f"{SCRIPT.name} has ended")


class Asked:
    """A client of the echo server."""

    def __init__(self, port, how):
        self.stream = connect(port, how)
        self.lines = self.stream.makefile("rb")

    def ask(self, line):
        self.stream.sendall(line)
        answer = self.lines.readline()
        if not answer:
            raise OSError("the server has closed the connection")
        return answer

    def figures(self):
        return json.loads(self.ask(b"heap\n"))

    def close(self):
        self.lines.close()
        self.stream.close()


@contextlib.contextmanager
def echo_server(build, heapsize, home, *words):
    """(process, port)"""
    port = free_port()
    with started(build, heapsize, home, port, *words, script=ECHO_SCRIPT) as process:
        demand(process, "READY")
        yield process, port


def opened(build, heapsize, home, how, most):
    """(how many connections are open, bytes of heap that each holds, bytes that are free then): as many as
    the server lets in, up to `most`; then all of them echo at once."""
    with echo_server(build, heapsize, home) as (_, port):
        clients = []
        told = []
        while len(clients) < most:
            try:
                client = Asked(port, how)
            except OSError:
                break
            clients.append(client)
            if len(clients) == 1 or most == MOST_32:
                # Collects, as a program with little heap does.
                told.append(client.figures())
        told.append(clients[0].figures())
        failures = echo_all(clients)
        if failures:
            raise SystemExit(f"of {len(clients)} connections: {failures}")
        each = (told[-1]["alloc"] - told[0]["alloc"]) / max(1, len(clients) - 1)
        for client in clients:
            client.close()
    return len(clients), each, told[-1]["free"]


def echo_all(clients):
    """All at once; what went wrong."""
    failures = []

    def work(client):
        try:
            for _ in range(ECHOES // len(clients)):
                line = os.urandom(ECHO_BYTES // 2).hex().encode() + b"\n"
                if client.ask(line) != line:
                    failures.append("another answer")
        except OSError as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def growth(build, heapsize, home, how, count):
    """Bytes of heap that a server has in use after so many connections beyond what it had after WARM."""
    with echo_server(build, heapsize, home) as (_, port):
        asker = Asked(port, how)
        before = None
        for number in range(WARM + count):
            if number == WARM:
                before = settled(asker, port, how)
            client = Asked(port, how)
            client.ask(b"a line\n")
            client.close()
        after = settled(asker, port, how)
        asker.close()
    return after - before


def settled(asker, port, how):
    """Bytes in use when none but the asker is connected. What ended last may lie about as a pointer on the
    stack, which the collector takes for one in use: so the least of several, a connection before each."""
    found = []
    for _ in range(SAMPLES):
        client = Asked(port, how)
        client.ask(b"a line\n")
        client.close()
        deadline = time.monotonic() + TIMEOUT_S
        while asker.figures()["connections"] > 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        found.append(asker.figures()["alloc"])
    return min(found)


def serving(rows, folder, pki):
    """Add the rows."""
    how = context(pki)
    for kind in ("ec", "rsa"):
        found = rate(member_files(folder, kind, pki), how)
        ours, bare = (1 / statistics.median(side) for side in zip(*found, strict=True))
        ratio = statistics.median(theirs / mine for mine, theirs in found)
        suffix = "" if kind == "ec" else "_" + kind
        text = f"handshakes a second as server, with accepting and closing, {kind.upper()}"
        rows.add("server_handshakes" + suffix, ours, "1/s", text, BARE, bare, ratio, limit="≥ 0.95")
    # EC only: with RSA each trial takes its time on 32 bits, all of them ten minutes.
    kind = "ec"
    for clients, chain in ((None, None), (pki.device_root, pki.device)):
        home = member_files(folder, kind, pki, clients)
        client = context(pki, chain, folder)
        found = {side: smallest(side, home, client) for side in ("ours", "budget", "bare")}
        name = f"server_smallest_heap_{kind}" + ("_mutual" if clients else "")
        text = f"free heap at which a server's handshake passes 20 of 20 times, {kind.upper()}"
        text += ", with client certificate" if clients else ""
        rows.add(name, found["ours"], "bytes", text + ", with budget=None", BARE, found["bare"])
        text = text.replace("at which", "from which on the budget says yes, and")
        rows.add(name + "_budget", found["budget"], "bytes", text, BARE, found["bare"])
    home = member_files(folder, "ec", pki)
    for name, build, heapsize, most, limit in (
        ("server_open_32", "stock32", HEAP_32, MOST_32, "≥ 6"),
        ("server_open_64", "stock", HEAP_64, MOST_64, "≥ 200"),
    ):
        count, each, free = opened(build, heapsize, home, how, most)
        text = f"connections open at a time, all echoing, `{build}`, {heapsize} of heap, asyncio, EC; "
        text += f"each holds {each:,.0f} bytes, {free:,} are free"
        text += f" (no more were tried than {most})" if count == most else ""
        rows.add(name, count, "", text, limit=limit)
    for build, heapsize in (("stock32", HEAP_32), ("stock", HEAP_64)):
        grown = growth(build, heapsize, home, how, CONNECTIONS)
        text = f"heap grown by {CONNECTIONS:,} connections of a server, `{build}`"
        name = "server_growth" + ("" if build == "stock32" else "_64")
        rows.add(name, grown, "bytes", text, limit="0")
