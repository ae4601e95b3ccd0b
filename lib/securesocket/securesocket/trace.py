"""What passes, told as it passes: each handshake message, alert and event of a connection.

Loaded where the option `trace` is set; without it nothing of this stands between mbedTLS and the stream. Told
are names, sizes, times and the free heap, never contents: no line can hold a secret.
"""

import gc
import io
import select
from time import ticks_diff, ticks_ms

from certstore.compat import const
from certstore.errors import SecureSocketError, part

from .context import refused
from .path import Path
from .records import MessageReader

# MP_STREAM_* of py/stream.h
_IOCTL_POLL = const(3)
_IOCTL_CLOSE = const(4)
_EINVAL = const(22)


class Tracer:
    """What one connection tells: each event goes to `sink` as (at_ms, way, name, size, heap_free).

    failure: what the sink has raised, the first time; from then on nothing is told. The handshake goes on to
    its own end; then the connection is closed and the exception raised as it is. received, sent: a
    MessageReader of each direction; lowest: the smallest heap_free so far, 0 before the first event.
    """

    received = None
    sent = None
    failure = None
    lowest = 0
    _raised = False
    _over = False

    def __init__(self, stream, sink):
        self._stream = stream
        self._sink = sink
        self._free = _free_bytes()
        self._started_ms = ticks_ms()

    def attach(self, session):
        """Puts itself between an engine's session, which has not begun, and its stream."""
        self._over = False  # it may be the second connection
        self.received = MessageReader()
        self.sent = MessageReader()
        session.stream = _Between(session.stream, self)
        session.path = path = _Path()
        path.tracer = self

    def event(self, name, size=0):
        """One of our own. Raises what the sink has raised, where nothing of mbedTLS is on the stack."""
        failed = name.startswith("failed")
        if name == "close" and self._over:
            return
        if failed or name == "close":
            self._over = True
        self.tell("=", name, size)
        if failed:
            # A refusal stays what it is, unless what the stream takes for one is the sink's own exception.
            if self._raised:
                self._stream._error = SecureSocketError("closed")
                raise self.failure
            return
        if name == "open":
            for method in ("read", "readinto", "readline", "write"):
                setattr(self._stream, method, self._checked(getattr(self._stream, method)))
        if self.failure is not None and not self._raised:
            self._raised = True
            raise self.failure

    def tell(self, way, name, size):
        """One event; raises nothing."""
        if self.failure is not None:
            return
        try:
            free = self._free()
            if not 0 < self.lowest < free:
                self.lowest = free
            told = (ticks_diff(ticks_ms(), self._started_ms), way, name, size, free)
        except MemoryError:
            return  # the connection comes first
        try:
            self._sink(told)
        except BaseException as error:  # mbedTLS is on the stack: nothing may cross it
            self.failure = error

    def passed(self, way, reader, data, count):
        """data[:count] has passed."""
        pos = 0
        try:
            while pos < count:
                pos = reader.receive(data, pos, count)
                if reader.name is not None:
                    self.tell(way, reader.name, reader.size)
        except MemoryError:
            reader.lost = True  # it would go on in the wrong place

    def _checked(self, method):
        def call(*args):
            value = method(*args)
            if self.failure is not None and not self._raised:
                self._raised = True
                self._stream.close()
                raise self.failure
            return value

        return call


class _Between(io.IOBase):
    """A stream that passes everything on as it is."""

    _poller = None

    def __init__(self, stream, tracer):
        self._stream = stream
        self._tracer = tracer

    def readinto(self, buf):
        count = self._stream.readinto(buf)
        if count and count > 0:
            self._tracer.passed("<", self._tracer.received, buf, count)
        return count

    def write(self, buf):
        count = self._stream.write(buf)
        if count and count > 0:
            self._tracer.passed(">", self._tracer.sent, buf, count)
        return count

    def ioctl(self, request, arg):
        if request == _IOCTL_POLL:
            poller = self._poller
            if poller is None:
                self._poller = poller = select.poll()
                poller.register(self._stream, arg)
            poller.modify(self._stream, arg)
            for entry in poller.ipoll(0):
                return entry[1]
            return 0
        if request == _IOCTL_CLOSE:
            self.close()
            return 0
        return -_EINVAL

    def close(self):
        # Also called by the garbage collector, when nothing can be allocated: nothing is told here.
        self._stream.close()


class _Path(Path):
    tracer = None

    def add(self, der, depth, pins, leaf_only):
        self.tracer.tell("=", "verify", len(der))
        super().add(der, depth, pins, leaf_only)


def maker(trace):
    """What makes the Tracer of a SecureStream, for this value of the option."""
    if trace is True:
        sink = _print
    elif callable(trace):
        sink = trace
    else:
        raise refused("trace", repr(trace), "True, or a callable that takes one tuple")

    def made(stream):
        tracer = Tracer(stream, sink)
        _tell_budget(stream, tracer)
        return tracer

    return made


def _tell_budget(stream, tracer):
    """What the connection starts with, for the trace and for its report."""
    context = stream._context
    budget = context.budget and part("securesocket.budget")
    if not budget:
        return
    try:
        stream._budget = found = budget.estimate(stream._hostname, context)
    except MemoryError:
        return  # the connection comes first
    tracer.tell("=", "budget", found.needed)
    tracer.tell("=", "largest block", max(0, found.largest_block))


def line(event):
    """An event as a line of text."""
    at_ms, way, name, size, free = event
    count = "{:,}".format(size) if size else ""
    return "%5d ms  %s %-19s %7s  heap %7s" % (at_ms, way, name, count, "{:,}".format(free))


def _print(event):
    try:
        print(line(event))
    except MemoryError:
        pass  # the connection comes first


def _free_bytes():
    """What tells the free bytes of the heap that mbedTLS uses."""
    budget = part("securesocket.budget")
    return budget.free if budget and budget.heap() == "C" else gc.mem_free
