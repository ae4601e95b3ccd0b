"""The asyncio front of SecureSocket: it waits for the same steps as the blocking one."""

import asyncio
import io
import select
import sys
from asyncio import core

from certstore.compat import const

from .socket import DEFAULT_TIMEOUT_MS, SecureSocket

_POLLIN = const(1)
_IOCTL_POLL = const(3)
_EINVAL = const(22)

_HAS_DESCRIPTORS = sys.platform in ("linux", "darwin")


async def open_connection(host=None, port=None, secure=None, timeout_ms=DEFAULT_TIMEOUT_MS):
    """SecureSocket.open."""
    opened = SecureSocket(host, port, secure, timeout_ms, _blocking=False)
    opened._open(host, port, False)
    await _run(opened)
    return opened


async def _run(opened):
    # As SecureStream._run.
    while opened.stage != "open":
        try:
            if opened._deadline_ms is None:
                await _await_each(opened)
            else:
                await asyncio.wait_for_ms(_await_each(opened), opened._left_ms())
        except asyncio.TimeoutError:
            opened._recover(opened._timeout())
        except BaseException as error:  # also a cancelled task
            opened._recover(error)


async def _await_each(opened):
    events = opened._step()
    while events:
        await _ready(opened._inner, events)
        events = opened._step()


class _Plain(io.IOBase):
    """A stream without its file descriptor. The poll of MicroPython's Unix port, as it makes room for a fifth
    descriptor, mistakes all that is polled without one (each secured stream) for descriptors, and crashes."""

    def __init__(self, stream, events):
        self.poller = select.poll()
        self.poller.register(stream, events)

    def ioctl(self, request, arg):
        if request != _IOCTL_POLL:
            return -_EINVAL
        for entry in self.poller.ipoll(0):
            return entry[1]
        return 0


def _ready(stream, events):
    """Awaitable: the stream has one of `events`. asyncio has no public way to wait for a plain stream."""
    if _HAS_DESCRIPTORS:
        stream = _Plain(stream, events)
    yield core._io_queue.queue_read(stream) if events == _POLLIN else core._io_queue.queue_write(stream)
