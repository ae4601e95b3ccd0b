"""The stream between the socket and mbedTLS while the handshake runs.

Contract: an exception never crosses mbedTLS's C frames: it is kept in `error`, and no further byte
passes in either direction. Buffers are mbedTLS's own record memory, valid only during the call.
"""

import io
import select

from certstore.compat import const

from ..handshake import HandshakeReader, is_tls13

# MP_STREAM_* of py/stream.h; POLLIN and POLLOUT have the same numbers on every port.
_IOCTL_POLL = const(3)
_IOCTL_CLOSE = const(4)
_EIO = const(5)
_EINVAL = const(22)

_POLLIN = const(1)
_POLLOUT = const(4)

_ALERT_RECORD = const(21)
_CHANGE_CIPHER_SPEC = const(20)
_PLAIN_ALERT = const(7)

# Events of handshake.HandshakeReader.
_SERVER_HELLO = const(1)
_CERTIFICATE = const(2)
_FINISHED = const(4)
_NOT_TLS = const(5)
_OVERSIZE = const(6)

# Of `figures`; report.Report has them all.
_RECEIVED = const(0)
_SENT = const(1)
_LARGEST = const(2)


class Tap(io.IOBase):
    """Passes bytes between `stream` and mbedTLS, and shows the server's flight to its subclass.

    certificate(data, start, stop): called when the whole Certificate message has arrived and before
    mbedTLS gets its last byte; returns False to have that last piece delivered again (mbedTLS then reads
    its authmode anew). accept(): called before the first record that leaves after the server's flight,
    that is after mbedTLS has verified the certificate. alert(): called before an alert leaves. All may
    raise. verifies_next(): called when the Certificate message is about to go to mbedTLS.

    want: POLLIN or POLLOUT that the handshake waits for, 0 when it can go on at once. over: mbedTLS has
    accepted the server's Finished. reader: a HandshakeReader; None right after the Certificate message
    and when the handshake is over. waits: the owner's _wait(events) is called to block until the stream
    is ready; waits_first: the stream would itself block in readinto. stream is None once mbedTLS has
    closed it. truncated: it has ended behind a record that was no alert. figures: what a report tells, by the
    numbers that it has; 0 where nothing was noted. One list, which outlives the handshake: seven attributes
    would cost more.
    """

    # Defaults live in the class: at the moment of a handshake's peak every attribute counts.
    reader = None
    want = _POLLOUT
    waits = False
    waits_first = False
    error = None
    over = False
    closed_by_peer = False
    truncated = False
    alert_sent = -1
    _kind = 0
    _in_header = False
    _left = 0
    _finished = False
    _accepted = False
    _held = None
    _sent_left = 0
    _sent_encrypted = False
    _poller = None

    def __init__(self, stream):
        self.stream = stream
        self.reader = HandshakeReader()
        self.figures = [0] * 9

    def poll(self, events):
        """Which of `events` (POLLIN, POLLOUT), or which errors, the stream has now."""
        poller = self._poller
        if poller is None:
            # Made when first needed: the blocking front waits without it.
            self._poller = poller = select.poll()
            poller.register(self.stream, events)
        poller.modify(self.stream, events)
        for entry in poller.ipoll(0):
            return entry[1]
        return 0

    def ioctl(self, request, arg):
        if request == _IOCTL_POLL:
            return self.poll(arg)
        if request == _IOCTL_CLOSE:
            # Also called by the garbage collector, when nothing can be allocated: no new attribute here.
            stream = self.stream
            self.stream = None
            if stream is not None:
                stream.close()
            return 0
        return -_EINVAL

    def readinto(self, buf):
        if self.error is not None:
            return -_EIO
        try:
            return self._read(buf)
        except Exception as error:  # kept and raised by the engine: it must not cross C frames
            self.error = error
            return -_EIO

    def write(self, buf):
        if self.error is not None:
            return -_EIO
        try:
            return self._write(buf)
        except Exception as error:  # as in readinto
            self.error = error
            return -_EIO

    def release(self):
        """The handshake is over: from now on mbedTLS talks to the stream's own methods, or nearly so."""
        self.readinto = self._read_open
        self.write = self.stream.write
        self.reader = None

    def _read_open(self, buf):
        # mbedTLS answers the end of the stream as it answers close_notify: with no bytes, and no error. It
        # asks for headers and payloads in turn, each until it is whole; a header alone says nothing, anybody
        # can send one.
        count = self.stream.readinto(buf)
        if count == 0:
            self.truncated = self._kind != _ALERT_RECORD or self._in_header or self._left != 0
        elif count:
            if self._left == 0:
                self._in_header = not self._in_header
                if self._in_header:
                    self._kind = buf[0]
            self._left = len(buf) - count
        return count

    def _read(self, buf):
        if self._finished:
            # mbedTLS asks for a byte after Finished only once it has accepted Finished.
            self.over = True
            self.want = _POLLIN
            return None
        if self._held is not None:
            have = len(self._held)
            buf[:have] = self._held
            self._held = None
            return have
        have = self._fill(buf)
        if not have:
            self.closed_by_peer = have == 0
            return have
        figures = self.figures
        figures[_RECEIVED] += have
        # mbedTLS asks for a record's header, then for what that announces.
        figures[_LARGEST] = max(len(buf), figures[_LARGEST])
        deliver = self._watch(buf, have)
        if self.reader is None:
            self.verifies_next()
        if deliver:
            return have
        # mbedTLS reads its authmode when it starts on a message: have it start again on this one.
        self._held = bytes(memoryview(buf)[:have])
        self.want = 0
        return None

    def _fill(self, buf):
        size = len(buf)
        have = 0
        while True:
            if self.waits_first:
                self.owner._wait(_POLLIN)
            count = self.stream.readinto(memoryview(buf)[have:] if have else buf)
            if count is None:
                self.want = _POLLIN
                if not self.waits:
                    return have or None
                self.owner._wait(_POLLIN)
            elif count == 0:
                return have
            else:
                have += count
                # A whole record can be read where it lies; without `waits` it comes as it comes.
                if have == size or not self.waits:
                    return have

    def _watch(self, data, end):
        reader = self.reader
        if reader is None:
            self.reader = reader = HandshakeReader()
        deliver = True
        shown = False
        pos = 0
        while pos < end:
            pos = reader.receive(data, pos, end)
            event = reader.event
            if event == _CERTIFICATE:
                deliver = self.certificate(reader.message, reader.start, reader.stop)
                shown = True
            elif event == _SERVER_HELLO:
                if is_tls13(reader.message, reader.start, reader.stop):
                    from ..errors import UnsupportedFeature

                    raise UnsupportedFeature("tls13")
            elif event == _FINISHED:
                self._finished = True
            elif event == _NOT_TLS or event == _OVERSIZE:
                raise _unreadable(reader, event)
        reader.message = None  # it was mbedTLS's memory, or is not needed any more
        if shown and reader.is_between_records:
            # mbedTLS verifies next, which takes all the heap there is; nothing is lost with this reader.
            self.reader = None
        return deliver

    def _write(self, buf):
        kind = buf[0]
        starts = self._sent_left == 0
        reader = self.reader
        if starts and kind != _ALERT_RECORD and not self._accepted and (reader is None or reader.last >= 0):
            self.accept()
            self._accepted = True
        if starts and kind == _ALERT_RECORD:
            self.alert()
        count = self.stream.write(buf)
        if count is None:
            self.want = _POLLOUT
            return None
        left = (len(buf) if starts else self._sent_left) - count
        if left or not starts:
            self._sent_left = left
        if starts:
            if kind == _CHANGE_CIPHER_SPEC:
                self._sent_encrypted = True
            elif kind == _ALERT_RECORD and not self._sent_encrypted and len(buf) == _PLAIN_ALERT:
                self.alert_sent = buf[6]
        self.figures[_SENT] += count
        return count


def _unreadable(reader, event):
    from ..errors import HandshakeError
    from ..handshake import MAX_CERTIFICATE_MESSAGE

    if event == _NOT_TLS:
        return HandshakeError("not-tls", found="the bytes %s" % bytes(reader.header).hex())
    return HandshakeError(
        "certificate-limit",
        found="a message of more than %d bytes" % MAX_CERTIFICATE_MESSAGE,
    )
