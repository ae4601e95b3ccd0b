"""An emulated Pico: rp2040py's chip with our corrections, its console, its network and its heap.

Time is emulated, in milliseconds of the chip's clock. It never runs ahead of the computer's: where the chip
idles, the emulator would pass an hour in a second, and every deadline with it.
"""

import asyncio
import codecs
import io
import time
from pathlib import Path

from rp2040py.boards import BoardSpec
from rp2040py.device import MicroPythonDevice

from emulator import MARK_PIN, files, image, uart
from emulator.console import Console
from emulator.errors import MachineStopped, NetworkDown, ScriptTimeout
from emulator.heap import Heap, Window
from emulator.network import HOST_ADDRESS, Network
from emulator.repl import BANNER, FRIENDLY, RAW, REBOOT, RawRepl

MS = 1_000_000
TICK_NS = MS
# How often the heap is looked at within a window.
SAMPLE_NS = 200_000
# Between packets of the USB host; rp2040py's own value interrupts the chip all the time.
USB_DELAY_US = 500
BOOT_WALL_S = 120
BOOT_MS = 60_000
HIGH = 1
# What the friendly REPL says when it is ready.
PROMPT = b">>> "
TAIL_BYTES = 256
STARTED_MODULE = Path(__file__).with_name("emulated.py")
# Names that mean this computer's loopback to a program on the device.
HOST_NAMES = {"localhost": HOST_ADDRESS, "127.0.0.1": HOST_ADDRESS}
NO_ADDRESS = "0.0.0.0"
ASK_NETWORK = "import emulated\nprint(emulated.ppp.ifconfig()[0])"


class Machine:
    """One Pico. `start()` boots it and brings its network up; then `run()`, one script at a time."""

    def __init__(self, uf2, elf, flash=None):
        """`flash` is {offset from the start of the flash: bytes}, of what lies there beside the image."""
        image.check(uf2)
        self._device = MicroPythonDevice(board=BoardSpec(image=str(uf2)))
        mcu = self._device.mcu
        for offset, data in (flash or {}).items():
            mcu.flash[offset : offset + len(data)] = data
        uart.correct(mcu)
        mcu.usb_ctrl.read_delay_microseconds = USB_DELAY_US
        self.clock = self._device.simulator.clock
        self.heap = Heap(mcu.sram, elf)
        self.network = Network(mcu.uart[0], self.clock)
        self.console = Console(self._device.cdc, self.clock)
        self.console.listeners.add(self._on_output)
        self._tail = b""
        self._windows = []
        self._window = None
        self._sampling = self.clock.create_alarm(self._sample)
        mcu.gpio[MARK_PIN].add_listener(self._on_mark)
        self._ticking = self.clock.create_alarm(self._tick)
        self._last = time.monotonic()
        self._busy = asyncio.Lock()

    # ---- time

    def _tick(self):
        self.network.tick()
        ahead = self._last + TICK_NS / 1e9 - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        self._last = time.monotonic()
        self._ticking.schedule(TICK_NS)

    # ---- resets

    def _on_output(self, data):
        """Make each soft reset a reset of the chip.

        MicroPython 1.26 frees a UART's interrupt before it finalises the PPP that uses it, which then
        fails, keeps lwIP's only PPP and leaves lwIP a network interface in memory that is free.
        """
        self._tail = (self._tail + data)[-TAIL_BYTES:]
        before, there, _ = self._tail.partition(REBOOT)
        if there:
            self._tail = b""
            self.network.close()
            self._device.hard_reset()
            # The REPL that comes up is the friendly one, and what it says before the host has set up USB is
            # lost: either key has a banner printed, of the REPL that was left.
            was_raw = before.rfind(BANNER) >= before.rfind(PROMPT)
            self.console.write(RAW if was_raw else FRIENDLY)

    # ---- windows

    def _on_mark(self, state, _):
        if state == HIGH and self.heap.ready:
            self._window = Window(self.heap, self.clock.nanos)
            self._sampling.schedule(SAMPLE_NS)
        elif self._window is not None:
            self._sampling.cancel()
            self._windows.append(self._window.close(self.clock.nanos))
            self._window = None

    def _sample(self):
        self._window.sample()
        self._sampling.schedule(SAMPLE_NS)

    # ---- life

    async def start(self):
        """Boot, install the script that brings clock and network up at every reset, and leave a prompt."""
        self._ticking.schedule(TICK_NS)
        try:
            await self._device.astart(BOOT_WALL_S)
        except TimeoutError as error:
            raise ScriptTimeout(
                f"the image did not appear on USB within {BOOT_WALL_S} s; is it MicroPython's?"
            ) from error
        now = time.gmtime()
        when = (*now[:3], now.tm_wday, *now[3:6], 0)
        module = files.compiled(
            f"NOW = {when}; HOST_NAMES = {HOST_NAMES}\n{STARTED_MODULE.read_text()}", STARTED_MODULE.name
        )
        for name, data in (("emulated.mpy", module), ("boot.py", b"import emulated\n")):
            done = await self.run(files.writing(name, data), BOOT_MS, reset=False)
            if done["stderr"]:
                raise MachineStopped(f"the device does not take its {name}: {done['stderr']}")
        await self.run("pass", BOOT_MS)
        self.console.write(FRIENDLY)

    async def run(self, source, timeout_ms, *, reset=True, on_output=None):
        """Run a script, by default after a soft reset; what it said and what it took.

        `on_output(event, text)` gets each piece of "output" and "error" as it is printed. Raises
        ScriptTimeout after `timeout_ms` of emulated time (the script is interrupted), NetworkDown if
        the network is not up after the reset.
        """
        async with self._busy:
            if reset:
                self._check_network(await _Run(self, ASK_NETWORK, BOOT_MS, True, None).result())
            return await _Run(self, source, timeout_ms, False, on_output).result()

    def _check_network(self, done):
        if done["stdout"].strip() in ("", NO_ADDRESS):
            raise NetworkDown(
                f"PPP did not come up after a reset: {done['stderr'] or 'no address'}; the last exit status "
                f"of slirp-fullbolt: {self.network.status}; see if `unshare --uts true` is allowed"
            )

    def take_windows(self):
        """The windows that were marked since this was last asked."""
        found, self._windows = self._windows, []
        return found

    def stopped(self):
        """Why the processor no longer runs; None while it does."""
        simulator = self._device.simulator
        return simulator.engine_room_error or ("the machine was stopped" if simulator.stopped else None)

    def stop(self):
        self._device.stop()
        self.network.close()


class _Text:
    """What a script printed, as it comes: UTF-8 in pieces, lines that end in CR LF."""

    def __init__(self):
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._newlines = io.IncrementalNewlineDecoder(None, translate=True).decode
        self.whole = ""

    def add(self, data):
        text = self._newlines(self._decode(data))
        self.whole += text
        return text


class _Run:
    """One script on a machine."""

    def __init__(self, machine, source, timeout_ms, reset, on_output):
        self._machine = machine
        self._protocol = RawRepl(source.encode(), reset)
        self._timeout_ms = timeout_ms
        self._on_output = on_output
        self._said = {"output": _Text(), "error": _Text()}
        self._done = asyncio.get_running_loop().create_future()
        self._started_ns = machine.clock.nanos

    async def result(self):
        machine = self._machine
        deadline = machine.clock.create_alarm(self._late)
        deadline.schedule(self._timeout_ms * MS)
        machine.console.listeners.add(self._receive)
        machine.take_windows()
        try:
            self._handle(self._protocol.start())
            await self._finished()
        finally:
            machine.console.listeners.discard(self._receive)
            deadline.cancel()
        stdout, stderr = self._said["output"].whole, self._said["error"].whole
        return {
            "stdout": stdout,
            "stderr": stderr,
            "status": 1 if stderr else 0,
            "emulated_ms": (machine.clock.nanos - self._started_ns) / MS,
            "windows": machine.take_windows(),
        }

    async def _finished(self):
        while not self._done.done():
            await asyncio.wait([self._done], timeout=1)
            if not self._done.done() and (why := self._machine.stopped()):
                raise MachineStopped(f"the emulated processor has ended: {why}")
        self._done.result()

    def _receive(self, data):
        # Called from within an emulated instruction: an error here would end the processor.
        try:
            self._handle(self._protocol.receive(data))
        except Exception as error:
            self._end(error)

    def _handle(self, events):
        for event, data in events:
            if event == "send":
                self._machine.console.write(data)
                self._started_ns = self._machine.clock.nanos
            elif event == "done":
                self._end(None)
            else:
                text = self._said[event].add(data)
                if self._on_output:
                    self._on_output(event, text)

    def _late(self):
        self._machine.console.write(b"\x03\x03")
        self._end(ScriptTimeout(f"the script did not end within {self._timeout_ms} ms of emulated time"))

    def _end(self, error):
        if not self._done.done():
            if error:
                self._done.set_exception(error)
            else:
                self._done.set_result(None)
