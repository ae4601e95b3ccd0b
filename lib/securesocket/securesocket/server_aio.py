"""The asyncio front of SecureServerSocket: each handshake is a task of its own."""

import asyncio

from certstore.compat import const
from certstore.errors import SecureSocketError, part

from .accepted import ROOM
from .server import ROOM_MS, SecureServerSocket
from .server_budget import refusal

_POLLIN = const(1)
# How often deadlines are looked at, while there are handshakes.
_REAP_MS = const(100)


async def start_server(handler, address, port, identity=None, **options):
    """Serves under asyncio: awaits handler(reader, writer) for each client whose handshake is over, in a task
    of its own; both are asyncio streams, get_extra_info("ssl_object") is the AcceptedStream, "peername" its
    (address, port). Closes the connection when the handler ends. options: as of SecureServerSocket.bind.
    Returns the SecureServerSocket; close() it, then `await server.wait_closed()`."""
    server = SecureServerSocket.bind(address, port, identity, **options)
    server._task = asyncio.create_task(_serve(server, handler))
    return server


async def closed(server):
    """Waits until a closed server listens no more."""
    task = server._task
    if task is not None:
        try:
            await task
        except asyncio.CancelledError:
            pass  # that is how close() ends it


async def _serve(server, handler):
    aio = part("securesocket.aio", "securesocket-options")
    listener = server._listener
    reaper = None
    while server._listener is not None:
        if server.when_full == "wait" and server._is_full():
            # What makes room, a closed connection or a deadline, has no event that could be waited for.
            await asyncio.sleep_ms(ROOM_MS)
            continue
        await aio._ready(listener, _POLLIN)
        stream = None
        try:
            stream = server._take_new()
            if stream is not None:
                stream._task = asyncio.create_task(_open(server, stream, handler, aio))
                if reaper is None or reaper.done():
                    reaper = asyncio.create_task(_reap(server))
        except Exception as error:
            # The heap is full, or on_failure has raised: other clients are still to be served.
            if stream is not None and stream._task is None:
                server._end(stream, refusal(server.connections))
            _report(error)
            await asyncio.sleep_ms(ROOM_MS)


async def _reap(server):
    while server._pending:
        await asyncio.sleep_ms(_REAP_MS)
        try:
            server._expire()
        except Exception as error:  # on_failure's
            _report(error)


def _report(error):
    loop = asyncio.get_event_loop()
    loop.call_exception_handler(
        {"message": "a server goes on after", "exception": error, "future": asyncio.current_task()}
    )


async def _open(server, stream, handler, aio):
    try:
        events = stream._go()
        while events:
            if events == ROOM:
                await asyncio.sleep_ms(ROOM_MS)
            else:
                await aio._ready(stream._inner, events)
            events = stream._go()
    except SecureSocketError as error:
        server._tell(stream, error)
        return
    except asyncio.CancelledError:
        if stream._error is None:
            stream.close()
            raise
        return  # ended by its deadline, or displaced, and told
    stream._task = None
    server._opened(stream)
    facts = {"peername": stream.remote_address, "ssl_object": stream}
    both = asyncio.StreamReader(stream, facts)
    try:
        await handler(both, both)
    finally:
        stream.close()
