"""PPP from an emulated serial port to slirp, a program that passes on TCP and UDP with ordinary sockets.

The device sees 10.0.2.2, which is this computer's loopback. slirp runs on a pseudo-terminal, and anew each
time that the device sets up its port: a soft reset there is a new call here, with no connection left over.
"""

import collections
import errno
import os
import pty
import shutil
import subprocess
import termios
import tty

from emulator.errors import MissingProgram

HOST_ADDRESS = "10.0.2.2"
PROGRAMS = {"slirp-fullbolt": "slirp", "unshare": "util-linux", "hostname": "hostname"}
# slirp takes its own address from its host's name and ends PPP at once if that is 127.x. In a name space
# of its own the host's name is the address itself.
COMMAND = (
    "--uts", "sh", "-c",
    f'hostname {HOST_ADDRESS} && exec slirp-fullbolt -P "host addr 127.0.0.1"',
)  # fmt: skip
# lwIP's PPP stalls if the answer is there before it has left the routine that asks.
LATENCY_NS = 10_000_000
TICK_NS = 1_000_000
BITS_A_BYTE = 10
NANOSECONDS = 1_000_000_000
READ_BYTES = 4096


def command():
    missing = [package for name, package in PROGRAMS.items() if not shutil.which(name)]
    if missing:
        raise MissingProgram(
            f"missing: {', '.join(missing)}. Install with: apt-get install {' '.join(missing)}"
        )
    # Only root may have a name space of its own without also mapping its user.
    return ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), *COMMAND]


class Network:
    """The far end of a serial port. `uart` is a machine's; `clock` its clock.

    `status` is the exit status of the last slirp that ended by itself, None while there was none.
    """

    def __init__(self, uart, clock):
        self._uart, self._clock = uart, clock
        self._command = command()
        self._process = self._master = self.status = None
        self._sent = bytearray()
        self._arriving = collections.deque()
        self._received = collections.deque()
        self._feeding = clock.create_alarm(self._feed)
        self._feeds = False
        self._dialled = False
        uart.on_byte = self._on_byte
        uart.on_baud_rate_change = self._on_set_up

    def _on_set_up(self, _):
        """The divisors are written when a port is set up, and only then."""
        self._dialled = False

    def _on_byte(self, byte):
        if not self._dialled:
            self._dialled = True
            self.redial()
        self._sent.append(byte)

    def redial(self):
        """Start slirp, instead of one that runs."""
        self.close()
        self._master, slave = pty.openpty()
        try:
            tty.setraw(slave, termios.TCSANOW)
            os.set_blocking(self._master, False)
            self._process = subprocess.Popen(
                self._command, stdin=slave, stdout=slave, stderr=subprocess.DEVNULL, start_new_session=True
            )
        finally:
            os.close(slave)

    def close(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            os.close(self._master)
            self._process = self._master = None
        self._sent.clear()
        self._arriving.clear()
        self._received.clear()
        self._feeding.cancel()
        self._feeds = False

    def tick(self):
        """Move bytes between the port and the pseudo-terminal; called each emulated millisecond."""
        if self._process is None:
            return
        if self._process.poll() is not None:
            # The device hung up, or slirp may not run; whoever waits for the network asks `status`.
            self.status = self._process.returncode
            self.close()
            return
        data = b""
        try:
            if self._sent:
                del self._sent[: os.write(self._master, self._sent)]
            data = os.read(self._master, READ_BYTES)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != errno.EIO:  # no one at the other end: the process is ending
                raise
        now = self._clock.nanos
        if data:
            self._arriving.append((now + LATENCY_NS, data))
        while self._arriving and self._arriving[0][0] <= now:
            self._received.extend(self._arriving.popleft()[1])
        if self._received and not self._feeds:
            self._feed()

    def _feed(self):
        """One byte into the port's FIFO, and the next as soon as the line would carry it."""
        if not self._uart.rx_fifo.full and self._received:
            self._uart.feed_byte(self._received.popleft())
        self._feeds = bool(self._received)
        if self._feeds:
            self._feeding.schedule(BITS_A_BYTE * NANOSECONDS / self._uart.baud_rate)
