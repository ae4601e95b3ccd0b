"""A server on every size of heap: a client is served, waits or is refused, and what is open does not suffer."""

import contextlib
import socket
import threading
import time

import pytest

from plugins.clients import context, identity
from plugins.peers import free_port

CLIENTS = 8
ECHO_S = 0.6
CLIENT_TIMEOUT_S = 4
WAIT_MS = 3000
# Of the whole heap; from the second on, somebody is served again and again.
SIZES = range(55_000, 206_000, 15_000)
ENOUGH = 115_000
LINE = b"as long as a line of a small protocol\n"

# A bare script: what serving.py holds would be in the way.
SCRIPT = """
import asyncio, gc, json, sys
from securesocket import start_server
import securesocket.errors

events = []
lost = []


def on_failure(error, address):
    events.append((type(error).__name__, error.code))


def report(loop, told):
    lost.append(repr(told["exception"]))


async def echo(reader, writer):
    while True:
        line = await reader.readline()
        if not line:
            return
        writer.write(line)
        await writer.drain()
        if line == b"stop\\n":
            stop.set()


async def main():
    global stop
    asyncio.get_event_loop().set_exception_handler(report)
    stop = asyncio.Event()
    server = await start_server(echo, "127.0.0.1", PORT, IDENTITY, on_failure=on_failure, **OPTIONS)
    gc.collect()
    print("READY")
    await stop.wait()
    await asyncio.sleep_ms(50)
    server.close()
    names = ("connections", "accepted", "failed", "refused", "waited")
    print("RESULT", json.dumps([events, lost, {name: getattr(server, name) for name in names}]))


asyncio.run(main())
"""


class Client(threading.Thread):
    """Connects, and echoes lines until `enough`; `served` tells whether it was let in, `wrong` what it lost."""

    def __init__(self, port, how, enough):
        super().__init__(daemon=True)
        self.port, self.how, self.enough = port, how, enough
        self.served = False
        self.wrong = None

    def run(self):
        try:
            raw = socket.create_connection(("127.0.0.1", self.port), timeout=CLIENT_TIMEOUT_S)
        except OSError:
            return
        with raw:
            try:
                stream = self.how.wrap_socket(raw, server_hostname="localhost")
            except OSError:
                return
            self.served = True
            with stream, stream.makefile("rb") as lines:
                try:
                    while not self.enough.is_set():
                        stream.sendall(LINE)
                        answer = lines.readline()
                        if answer != LINE:
                            self.wrong = repr(answer)
                            return
                        time.sleep(0.01)
                except OSError as error:
                    self.wrong = repr(error)


def crowd(port, how, count=CLIENTS):
    """So many clients at once: the Clients, when all of them have ended."""
    enough = threading.Event()
    clients = [Client(port, how, enough) for _ in range(count)]
    for client in clients:
        client.start()
    time.sleep(ECHO_S)
    enough.set()
    for client in clients:
        client.join(10)
    return clients


def run(target, chain, how, heapsize, **options):
    """(clients, events, lost, counters), or None where the heap does not even carry the program."""
    port = free_port()
    params = {"PORT": port, "IDENTITY": identity(chain), "OPTIONS": options}
    process = target.start(SCRIPT, build="stock32", heapsize=heapsize, params=params)
    if process.line() != "READY":
        return None
    clients = crowd(port, how)
    for _ in range(4):
        # Everybody has left.
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", port), timeout=1) as raw:
                with how.wrap_socket(raw, server_hostname="localhost") as stream:
                    stream.sendall(b"stop\n")
                    if stream.recv(16) == b"stop\n":
                        break
        time.sleep(0.1)
    else:
        process.stop()
        return clients, None, None, None
    done = process.wait(10)
    assert done.returncode == 0 and done.stderr == "", (heapsize, done)
    return clients, *done.result


@pytest.mark.parametrize("when_full", ["refuse", "wait"])
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_every_size_of_heap(target, pki, kind, when_full):
    """A yes is kept, a no is told, and no open connection loses a byte."""
    how = context([pki.root, pki.rsa_root])
    served = {}
    for size in SIZES:
        options = {"when_full": when_full, "handshake_timeout_ms": WAIT_MS}
        found = run(target, getattr(pki, kind), how, size, **options)
        if found is None:
            assert size < ENOUGH
            continue
        clients, events, lost, counters = found
        served[size] = sum(client.served for client in clients)
        assert [client.wrong for client in clients] == [None] * CLIENTS, size
        if counters is None:
            assert size < ENOUGH, "the next honest client is not served"
            continue
        assert lost == [], (size, lost)
        told = {tuple(event) for event in events} - {("MemoryBudgetError", "server-memory")}
        # Who waits longer than it has patience hangs up.
        assert told <= (set() if size >= ENOUGH else {("HandshakeError", "connection-lost")}), (size, events)
        assert counters["accepted"] == served[size] + 1, (size, counters)
        assert counters["connections"] == 0
        if when_full == "refuse":
            assert served[size] + counters["refused"] >= CLIENTS and counters["waited"] == 0
        elif size >= ENOUGH:
            assert served[size] == CLIENTS and counters["refused"] == 0, (size, counters)
    # Both ends are reached, and more heap carries more.
    assert max(served.values()) >= 5 and served[max(SIZES)] >= served[ENOUGH] >= 1, served
    assert when_full == "wait" or served[ENOUGH] <= 2, served
