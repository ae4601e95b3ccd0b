"""MicroPython's raw REPL as a protocol: bytes in, events out; no port, no clock.

Source: MicroPython's documentation, "The MicroPython Interactive Interpreter Mode (aka REPL)", raw mode.
Order of a run: Ctrl-C twice and Ctrl-A; the banner; with a soft reset Ctrl-D, its message and the banner
again; the script and Ctrl-D; "OK", standard output, 0x04, standard error, 0x04.
"""

from emulator.errors import ProtocolError

INTERRUPT, RAW, FRIENDLY, FINISH = b"\x03", b"\x01", b"\x02", b"\x04"
BANNER = b"raw REPL; CTRL-B to exit\r\n>"
REBOOT = b"soft reboot\r\n"
START = b"\r" + INTERRUPT + INTERRUPT + RAW
# Of output before a banner only the end is kept: a script that is interrupted may print without end.
KEPT_BYTES = 4096


class RawRepl:
    """One script. `start()` and then `receive(data)` give [(event, bytes)].

    Events: "send", bytes for the device; "output" and "error", pieces of the script's standard output and
    error; "done".
    """

    def __init__(self, source, reset=True):
        self._source = source
        self._reset = reset
        self._data = b""
        self._state = self._entering

    def start(self):
        return [("send", START)]

    def receive(self, data):
        self._data += data
        events = []
        while self._state is not None:
            found = self._state()
            if found is None:
                break
            events += found
        return events

    def _after(self, mark):
        """The bytes before the next `mark`, which is taken off too; None if it is not there yet."""
        before, there, after = self._data.partition(mark)
        if not there:
            return None
        self._data = after
        return before

    def _entering(self):
        if self._after(BANNER) is None:
            self._data = self._data[-KEPT_BYTES:]
            return None
        if not self._reset:
            return self._submit()
        self._state = self._rebooting
        return [("send", FINISH)]

    def _rebooting(self):
        if self._after(REBOOT) is None:
            return None
        self._state = self._returning
        return []

    def _returning(self):
        return None if self._after(BANNER) is None else self._submit()

    def _submit(self):
        self._state = self._accepting
        return [("send", self._source + FINISH)]

    def _accepting(self):
        if len(self._data) < 2:
            return None
        if BANNER.startswith(self._data[: len(BANNER)]):
            # Who was there before us has asked for this REPL too; the first banner was the answer to that.
            return None if self._after(BANNER) is None else []
        answer, self._data = self._data[:2], self._data[2:]
        if answer != b"OK":
            raise ProtocolError(f"the raw REPL answered {answer!r} to a script, expected b'OK'")
        self._state = self._printing
        return []

    def _printing(self):
        return self._stream("output", self._failing)

    def _failing(self):
        return self._stream("error", None)

    def _stream(self, event, following):
        if not self._data:
            return None
        piece, there, after = self._data.partition(FINISH)
        self._data = after
        events = [(event, piece)] if piece else []
        if there:
            self._state = following
            if following is None:
                events.append(("done", b""))
        return events
