"""SecurePair: TLS between two streams in memory, as Node's createSecurePair.

For a transport that is no stream object (a radio, a queue, a test): the program itself carries the bytes
between `encrypted` and the peer. Nothing here ever blocks.
"""

import io

from certstore.compat import const
from certstore.errors import SecureSocketError

_IOCTL_POLL = const(3)
_IOCTL_CLOSE = const(4)
_POLLIN = const(1)
_POLLOUT = const(4)
_POLLHUP = const(16)
_EINVAL = const(22)
_EPIPE = const(32)

# A record of the largest size with its header (RFC 5246 6.2.3: 2^14 + 2048, and 5): less could hold one up
# for ever. A direction takes only as much heap as it had to hold at once.
MAX_BUFFERED = const(18437)


_NOTHING = bytearray(0)


class Pipe:
    """One direction: up to MAX_BUFFERED bytes that were written and not read yet. is_closed: nothing more
    comes; what is there can still be read."""

    def __init__(self):
        # All attributes now: the garbage collector may close a connection, and nothing can be allocated then.
        self.is_closed = False
        self._start = self._stop = 0
        self._data = _NOTHING

    def __len__(self):
        return self._stop - self._start

    def put(self, buf):
        """Takes as much of `buf` as there is room for; how much, None for none."""
        have = self._stop - self._start
        count = min(len(buf), MAX_BUFFERED - have)
        if count == 0:
            return None if len(buf) else 0
        data = self._data
        if self._stop + count > len(data):
            self._move(have, count)
            data = self._data
        stop = self._stop
        data[stop : stop + count] = buf if count == len(buf) else memoryview(buf)[:count]
        self._stop = stop + count
        return count

    def take(self, buf):
        """Fills `buf` with what is there: how much, 0 at the end, None where nothing is there yet."""
        start = self._start
        count = min(len(buf), self._stop - start)
        if count == 0:
            return 0 if self.is_closed or not len(buf) else None
        memoryview(buf)[:count] = memoryview(self._data)[start : start + count]
        start += count
        if start == self._stop:
            start = self._stop = 0
        self._start = start
        return count

    def end(self):
        """Nothing more comes."""
        self.is_closed = True

    def drop(self):
        """Nobody reads any more."""
        self.is_closed = True
        self._start = self._stop = 0
        self._data = _NOTHING

    def _move(self, have, more):
        # To the front, and into a larger buffer where this one is too small.
        old = memoryview(self._data)[self._start : self._stop]
        size = have + more
        data = self._data
        if size > len(data):
            data = bytearray(min(MAX_BUFFERED, max(size, 2 * len(data))))
        memoryview(data)[:have] = old
        self._data = data
        self._start, self._stop = 0, have


class _End(io.IOBase):
    """What both ends have in common. Reads from one Pipe, writes to the other."""

    def __init__(self, incoming, outgoing):
        self._in = incoming
        self._out = outgoing

    def ioctl(self, request, arg):
        if request == _IOCTL_POLL:
            found = 0
            if self._in.is_closed or len(self._in):
                found = _POLLIN
            if self._out.is_closed:
                found |= _POLLOUT | _POLLHUP
            elif len(self._out) < MAX_BUFFERED:
                found |= _POLLOUT
            return found & (arg | _POLLHUP)
        if request == _IOCTL_CLOSE:
            self.close()
            return 0
        return -_EINVAL

    def close(self):
        """The other end reads what is there already, and then the end; what it writes goes nowhere."""
        self._out.end()
        self._in.drop()


class _EngineEnd(_End):
    """mbedTLS's end: its C frames must see a number, never an exception."""

    def readinto(self, buf):
        return self._in.take(buf)

    def write(self, buf):
        if self._out.is_closed:
            return -_EPIPE
        return self._out.put(buf)


class EncryptedStream(_End):
    """The end that speaks TLS: read() gives what is to be sent to the peer, write() takes what has come from
    it.

    Never blocks: None where nothing is there, or no room is; b"" and 0 are the end. Raises SecureSocketError
    "closed" after close(), and on writing after end() or once `cleartext` is closed.
    """

    _is_closed = False

    def read(self, size=-1):
        """Up to `size` bytes, or all there are."""
        self._check()
        have = len(self._in)
        buf = bytearray(have if size < 0 or size > have else size)
        count = self._in.take(buf) if have else 0 if self._in.is_closed or not size else None
        return count if count is None else bytes(buf)

    def readinto(self, buf, size=-1):
        self._check()
        return self._in.take(buf if size < 0 else memoryview(buf)[:size])

    def write(self, buf):
        self._check()
        if self._out.is_closed:
            raise SecureSocketError("closed", found="nothing is read here any more")
        return self._out.put(buf)

    def end(self):
        """The peer sends nothing more; what goes to it can still be read."""
        self._check()
        self._out.end()

    def close(self):
        self._is_closed = True
        _End.close(self)

    def _check(self):
        if self._is_closed:
            raise SecureSocketError("closed")


class SecurePair:
    """SecurePair(context): a client; SecurePair(context, True): a server, with a ServerContext.

    context: as for SecureSocket.wrap, or a dict of its options. encrypted: an EncryptedStream; cleartext: the
    connection, a SecureStream or AcceptedStream (also for asyncio.StreamReader and StreamWriter), whose first
    reads and writes carry the handshake on and return None until it is over. Closing one of them is the end
    for the other: a truncation, where no close_notify came before. Raises what SecureSocket.wrap raises.
    """

    def __init__(self, context=None, server_side=False, server_hostname=None):
        if context is None or isinstance(context, dict):
            context = _context(context or {}, server_side)
        elif not hasattr(context, "wrap_socket"):
            from .context import refused

            raise refused("context", type(context).__name__, "a SecureContext, a ServerContext, or a dict")
        incoming, outgoing = Pipe(), Pipe()
        self.encrypted = EncryptedStream(outgoing, incoming)
        self.cleartext = context.wrap_socket(
            _EngineEnd(incoming, outgoing),
            server_side=server_side,
            server_hostname=server_hostname,
            do_handshake_on_connect=False,
        )

    @property
    def authorized(self):
        """Whether the peer's certificate was verified."""
        return self.cleartext.authorized

    def close(self):
        """Closes both ends; a second call does nothing."""
        self.cleartext.close()
        self.encrypted.close()

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()


def _context(options, server_side):
    if server_side:
        from .server_context import ServerContext

        return ServerContext(**options)
    from .context import SecureContext

    return SecureContext(**options)
