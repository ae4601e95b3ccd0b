"""The device's side of the DTLS server's tests: echoes datagrams, blocking or under asyncio, until a peer sends
"stop"; then tells what happened."""

# ruff: noqa: F821 (PORT and the rest are parameters of the test)

import asyncio
import gc
import json

from securesocket import DtlsServer

events = []
opened = []


def on_failure(error, address):
    events.append([type(error).__name__, getattr(error, "code", None), address[0]])


def facts(connection):
    certificate = connection.peer_certificate
    return {
        "authorized": connection.authorized,
        "server_name": connection.server_name,
        "cipher": connection.cipher(),
        "version": connection.version(),
        "certificate": certificate and bytes(certificate.der).hex(),
        "address": connection.remote_address,
        "anchor": connection.report.anchor,
        "repr": repr(connection),
    }


def tell(server, **more):
    gc.collect()
    more["alloc"] = gc.mem_alloc()
    counters = dict(server.counters, connections=server.connections, handshakes=server.handshakes)
    print("RESULT", json.dumps({"events": events, "opened": opened, "counters": counters} | more))


def ready():
    gc.collect()
    print("READY", gc.mem_alloc())


def serve(server):
    """Blocking: whichever peer sends."""
    known = []
    ready()
    data = None
    while data != b"stop\n":
        try:
            connection, data = server.recv(timeout_ms=1000)
        except OSError as error:
            if error.code != "accept-timeout":
                events.append([type(error).__name__, error.code, None])
            continue
        if id(connection) not in known:
            known.append(id(connection))
            opened.append(facts(connection))
        if data:
            connection.send(data)
        else:
            events.append(["closed", connection.closed_by_peer, None])
            connection.close()
    tell(server)
    server.close()


def serve_asyncio(**options):
    async def main():
        stop = asyncio.Event()

        async def handler(connection):
            opened.append(facts(connection))
            while True:
                data = await connection.receive()
                if not data:
                    events.append(["closed", connection.closed_by_peer, None])
                    break
                if data == b"fail\n":
                    raise ValueError("asked to")
                connection.send(data)
                if data == b"stop\n":
                    stop.set()

        server = await DtlsServer.start(
            handler, "127.0.0.1", PORT, IDENTITY, on_failure=on_failure, **options
        )
        ready()
        await stop.wait()
        await asyncio.sleep_ms(50)
        tell(server)
        server.close()
        await asyncio.sleep_ms(50)

    asyncio.run(main())


def run(front, **options):
    contexts = options.pop("contexts", ())
    if front == "asyncio":
        serve_asyncio(**options)
        return
    server = DtlsServer.bind("127.0.0.1", PORT, IDENTITY, on_failure=on_failure, **options)
    for name, identity in contexts:
        server.add_context(name, identity)
    serve(server)
