"""The asyncio front of DTLS: it waits for the same steps as the blocking one."""

import asyncio
from time import ticks_add, ticks_diff, ticks_ms

from certstore.compat import const

from .aio import _ready

_POLLIN = const(1)
# mbedTLS retransmits when it is asked to go on: so often it is.
_STEP_MS = const(100)


async def _readable(stream, timeout_ms):
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
