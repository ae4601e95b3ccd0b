"""The asyncio front of DTLS: it waits for the same steps as the blocking one.

A server has one task that takes its datagrams; whoever waits for a peer's next one is woken by it.
"""

import asyncio
import sys
from time import ticks_add, ticks_diff, ticks_ms

from certstore.compat import const
from certstore.errors import SecureSocketError

from .aio import _ready
from .datagram import ClientConnection, check_timeout
from .datagram_errors import DatagramError

_POLLIN = const(1)
# mbedTLS retransmits when it is asked to go on: so often it is.
_STEP_MS = const(100)
_SWEEP_MS = const(1000)
# So many datagrams are taken before other tasks have their turn.
_BURST = const(16)


async def _readable(stream, timeout_ms):
    """Waits until there is a datagram, so long at most (None: for ever)."""
    if timeout_ms is None:
        await _ready(stream, _POLLIN)
        return
    try:
        await asyncio.wait_for_ms(_until(stream), timeout_ms)
    except asyncio.TimeoutError:
        pass


async def _until(stream):
    await _ready(stream, _POLLIN)


async def run(connection, timeout_ms):
    """A client's handshake."""
    deadline = None if timeout_ms is None else ticks_add(ticks_ms(), timeout_ms)
    while not connection._step():
        left = _STEP_MS if deadline is None else ticks_diff(deadline, ticks_ms())
        if left <= 0:
            connection._fail(connection._timeout(timeout_ms))
        try:
            await _readable(connection._sock, min(left, _STEP_MS))
        except BaseException as error:  # a cancelled task
            connection._fail(error)


async def receive(connection, size, timeout_ms):
    """DtlsConnection.receive."""
    check_timeout(timeout_ms)
    is_client = isinstance(connection, ClientConnection)
    deadline = None if timeout_ms is None else ticks_add(ticks_ms(), timeout_ms)
    if is_client:
        connection._await(0)
    else:
        _pump_of(connection._server)
        if connection._event is None:
            connection._event = asyncio.Event()
    while True:
        found = connection._once(None, size)
        if found is not None:
            return found
        if connection._link.has_more() or (not is_client and connection._link.queue):
            # What was read could not be verified.
            continue
        left = None if deadline is None else ticks_diff(deadline, ticks_ms())
        if left is not None and left <= 0:
            raise DatagramError("receive-timeout", found="nothing after %d ms" % timeout_ms)
        if is_client:
            await _readable(connection._sock, left)
        else:
            connection._event.clear()
            await _set(connection._event, left)


async def _set(event, timeout_ms):
    if timeout_ms is None:
        await event.wait()
        return
    try:
        await asyncio.wait_for_ms(event.wait(), timeout_ms)
    except asyncio.TimeoutError:
        pass


async def accepted(server):
    """DtlsServer.__anext__."""
    _pump_of(server)
    while not server._ready:
        if server._sock is None:
            raise StopAsyncIteration
        server._event.clear()
        await server._event.wait()
    return server._ready.pop(0)


def start(server, handler):
    """DtlsServer.start."""
    _pump_of(server)
    server._acceptor = asyncio.create_task(_accept(server, handler))


def _pump_of(server):
    if server._event is None:
        server._event = asyncio.Event()
        server._timeout_ms = 0
        server._sock.setblocking(False)
        server._task = asyncio.create_task(_pump(server))


async def _pump(server):
    while server._sock is not None:
        await _readable(server._sock, _STEP_MS if server._opening else _SWEEP_MS)
        for _ in range(_BURST):
            if server._sock is None or not server._take():
                break
        server._go_on()


async def _accept(server, handler):
    async for connection in server:
        # No name for it: the task keeps itself.
        asyncio.create_task(_handle(server, handler, connection))


async def _handle(server, handler, connection):
    address = connection.remote_address
    try:
        await handler(connection)
    except SecureSocketError as error:
        if server.on_failure is not None and error.code != "closed":
            server.on_failure(error, address)
    except Exception as error:
        if server.on_failure is not None:
            server.on_failure(error, address)
        else:
            sys.print_exception(error)
    finally:
        connection.close()
