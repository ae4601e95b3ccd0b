"""Start an emulated Pico in a process of its own, and run scripts on it.

with Emulator() as pico:
    print(pico.run("print(6 * 7)")["stdout"])
    print(measure(pico, SCRIPT)["windows"][0]["heap_peak_bytes"])
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

from emulator import HOST, MARK_PIN, files
from emulator.errors import MachineStopped, ProtocolError, error

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "build" / "firmware" / "PICO_SECURE"
TIMEOUT_MS = 60_000
# The emulator counts in emulated time; this is for an emulator that no longer answers.
WALL_S_A_MS = 0.1
WALL_S = 120
# In front of a measured script: what is between MARK.on() and MARK.off() is measured.
MARK = f"import machine\nMARK = machine.Pin({MARK_PIN}, machine.Pin.OUT, value=0)\n"


def board():
    """The facts of the board that the firmware is for."""
    return tomllib.loads((ROOT / "boards" / "boards.toml").read_text())[FIRMWARE.name]


class Emulator:
    """One emulated Pico. `repl_port` is where its REPL listens, on loopback; `romfs` a file, which its
    board's region in flash holds."""

    def __init__(
        self, uf2=FIRMWARE / "firmware.uf2", elf=FIRMWARE / "firmware.elf", *, repl_port=0, romfs=None
    ):
        words = [sys.executable, "-m", "emulator", "serve", str(uf2), str(elf), "--repl-port", str(repl_port)]
        if romfs:
            words += ["--flash", str(board()["romfs_offset"]), str(romfs)]
        self._process = subprocess.Popen(
            words,
            env=os.environ | {"PYTHONPATH": str(ROOT / "tools")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = self._process.stdout.readline()
        if not line:
            self._raise_end()
        ports = json.loads(line)
        self.repl_port, self._control_port = ports["repl"], ports["control"]

    def _raise_end(self):
        """Raise what the process said when it ended."""
        said = self._process.communicate()[1].strip()
        try:
            code, text = json.loads(said.splitlines()[-1])["failed"]
        except (ValueError, IndexError, KeyError, TypeError):
            code, text = MachineStopped.code, f"the emulator's process ended: {said}"
        raise error(code, text)

    def start(self, source, *, params=None, timeout_ms=TIMEOUT_MS, reset=True):
        """Start a script: a Script. `params` become globals; `reset` is of the chip, before it."""
        constants = "".join(f"{key} = {value!r}\n" for key, value in (params or {}).items())
        return Script(self._control_port, constants + source, timeout_ms, reset)

    def run(self, source, **how):
        """Run a script to its end: {"stdout", "stderr", "status", "emulated_ms", "windows"}.

        Raises ScriptTimeout after `timeout_ms` of emulated time.
        """
        return self.start(source, **how).result()

    def install(self, name, source):
        """Put a module on the device, compiled, where it outlives resets."""
        done = self.run(files.writing(f"{name}.mpy", files.compiled(source, f"{name}.py")), reset=False)
        if done["status"]:
            raise ProtocolError(f"the device does not take the module {name}: {done['stderr']}")

    def close(self):
        if self._process.poll() is None:
            self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGKILL)
                self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            pipe.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Script:
    """A script that runs on the device. Iterating gives (event, text) as it prints; then `result()`."""

    def __init__(self, port, source, timeout_ms, reset):
        self._connection = socket.create_connection((HOST, port))
        self._connection.settimeout(WALL_S + timeout_ms * WALL_S_A_MS)
        self._lines = self._connection.makefile("r", encoding="utf-8")
        request = {"run": source, "timeout_ms": timeout_ms, "reset": reset}
        self._connection.sendall(json.dumps(request).encode() + b"\n")
        self._result = None

    def __iter__(self):
        while self._result is None:
            try:
                line = self._lines.readline()
            except TimeoutError as failure:
                self.stop()
                raise MachineStopped("the emulator's process does not answer any more") from failure
            if not line:
                self.stop()
                raise MachineStopped("the emulator's process has ended")
            ((event, value),) = json.loads(line).items()
            if event == "failed":
                self.stop()
                raise error(*value)
            if event == "result":
                self._result = value
                self.stop()
            else:
                yield event, value

    def result(self):
        for _ in self:
            pass
        return self._result

    def stop(self):
        """Interrupt it if it still runs."""
        self._lines.close()
        self._connection.close()


def measure(pico, script, params=None, timeout_ms=TIMEOUT_MS):
    """Run a script that marks windows, each between MARK.on() and MARK.off(): {"stdout", "windows"}.

    A window is {"emulated_ms", "heap_before_bytes", "heap_peak_bytes", "largest_free_bytes",
    "heap_after_bytes"}, in emulated time and bytes in use; the largest free block is that at the peak.
    """
    done = pico.run(MARK + script, params=params, timeout_ms=timeout_ms)
    if done["status"]:
        raise ProtocolError(f"a measured script failed: {done['stderr']}")
    if not done["windows"]:
        raise ProtocolError("a measured script marked no window; expected MARK.on() … MARK.off()")
    return {"stdout": done["stdout"], "windows": done["windows"]}
