"""The asyncio front of SecureSocket: it waits for the same steps as the blocking one."""

import asyncio
from asyncio import core

from certstore.compat import const

from .socket import stepper

_POLLIN = const(1)


async def open_connection(kind, host, port, secure, timeout_ms):
    """SecureSocket.open; kind: the class."""
    opened = kind(host, port, secure, timeout_ms, _blocking=False)
    found = opened._resolve(host, port)
    await _run(opened, stepper(opened._open(host, port, found, False)))
    await _run(opened, opened._step)
    return opened


async def _run(opened, step):
    # As SecureStream._run.
    while step is not None:
        try:
            if opened._deadline_ms is None:
                await _await_each(opened, step)
            else:
                await asyncio.wait_for_ms(_await_each(opened, step), opened._left_ms())
            return
        except asyncio.TimeoutError:
            step = opened._recover(opened._timeout())
        except BaseException as error:  # also a cancelled task
            step = opened._recover(error)


async def _await_each(opened, step):
    events = step()
    while events:
        await _ready(opened._inner, events)
        events = step()


def _ready(stream, events):
    """Awaitable: the stream has one of `events`. asyncio has no public way to wait for a plain stream."""
    yield core._io_queue.queue_read(stream) if events == _POLLIN else core._io_queue.queue_write(stream)
