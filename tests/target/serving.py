"""The device's side of the servers' tests: runs in front of a test's own lines. Serves lines, echoed, blocking
or under asyncio, until a client says "stop"; then tells what happened."""

# ruff: noqa: F821 (PORT and the rest are parameters of the test)

import asyncio
import gc
import json

from securesocket import SecureServerSocket, ServerContext, start_server

events = []


def on_failure(error, address):
    events.append([type(error).__name__, error.code, error.found and str(error.found), address[0]])


def facts(stream):
    certificate = stream.peer_certificate
    return {
        "authorized": stream.authorized,
        "authorization_error": repr(stream.authorization_error),
        "server_name": stream.server_name,
        "alpn": stream.alpn_protocol,
        "cipher": stream.cipher(),
        "certificate": certificate and bytes(certificate.der).hex(),
        "host": stream.remote_address[0],
        "stage": stream.report.stage,
        "anchor": stream.report.anchor,
        "repr": repr(stream),
    }


def ready():
    print("READY")


def counters(server):
    names = ("connections", "handshakes", "accepted", "failed", "refused", "waited", "displaced")
    return {name: getattr(server, name) for name in names}


def tell(server, opened, **more):
    print("RESULT", json.dumps({"events": events, "opened": opened, "counters": counters(server)} | more))


def serve(server):
    """Blocking: one connection after the other, each until it ends."""
    opened = []
    ready()
    for stream in server:
        opened.append(facts(stream))
        line = None
        try:
            while line != b"stop\n":
                line = stream.readline()
                if not line:
                    break
                stream.write(line)
        except OSError as error:
            opened[-1]["error"] = [type(error).__name__, error.args[0]]
        opened[-1]["truncated"] = stream.truncated
        stream.close()
        if line == b"stop\n":
            break
    gc.collect()
    server.close()
    tell(server, opened)


def serve_asyncio(**options):
    """asyncio: all at once."""
    opened = []

    async def main():
        stop = asyncio.Event()

        async def handler(reader, writer):
            stream = writer.get_extra_info("ssl_object")
            told = facts(stream)
            opened.append(told)
            try:
                while True:
                    line = await reader.readline()
                    if not line:
                        break
                    writer.write(line)
                    await writer.drain()
                    if line == b"stop\n":
                        stop.set()
                        break
            except OSError as error:
                told["error"] = [type(error).__name__, error.args[0]]
            told["truncated"] = stream.truncated

        server = await start_server(handler, "127.0.0.1", PORT, **options)
        ready()
        await stop.wait()
        await asyncio.sleep_ms(50)
        server.close()
        await server.wait_closed()
        gc.collect()
        tell(server, opened)

    asyncio.run(main())


def run(front, identity, **options):
    options["on_failure"] = on_failure
    contexts = options.pop("contexts", ())
    if contexts:
        secure = ServerContext(identity=identity, **options.pop("secure", {}))
        for hostname, *rest in contexts:
            secure.add_context(hostname, *rest)
        identity, options["secure"] = None, secure
    if front == "asyncio":
        serve_asyncio(identity=identity, **options)
    else:
        serve(SecureServerSocket.bind("127.0.0.1", PORT, identity, **options))
