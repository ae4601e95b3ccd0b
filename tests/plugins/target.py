"""Where tests/target runs its scripts. A target runs MicroPython code and hands back what it said.

`unix` is the builds of this computer, `emulator` an emulated Pico. TARGETS is the table.
"""

import subprocess
import tempfile
from pathlib import Path

import pytest

from plugins.emulated import DRIVER, EmulatorTarget
from plugins.interpreters import BUILDS, command
from plugins.run import Run


class Process:
    """A script that runs beside the test; ended with the test if it has not."""

    def __init__(self, words, env):
        pipe = subprocess.PIPE
        self.popen = subprocess.Popen(
            words, env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
        )

    def line(self):
        """The next line that it prints; blocks until there is one, '' at the end."""
        return self.popen.stdout.readline().rstrip("\n")

    def wait(self, timeout_s=60):
        """Run until it ends, as a Run of what it has printed since the last `line`."""
        try:
            out, err = self.popen.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            out, err = self.popen.communicate()
            pytest.fail(f"still running after {timeout_s} s: {Run(out, err, self.popen.returncode)}")
        return Run(out, err, self.popen.returncode)

    def stop(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()


class UnixTarget:
    name = "unix"
    builds = BUILDS
    # In front of a script that uses tests/target/driver.py.
    driver = DRIVER.read_text()

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="securesocket-")
        self.processes = []

    def script(self, text_or_path, params):
        """A file with the parameters on its first line, as `NAME = value`."""
        is_path = isinstance(text_or_path, Path)
        text = text_or_path.read_text() if is_path else text_or_path
        name = text_or_path.stem if is_path else "script"
        path = Path(tempfile.mkdtemp(dir=self.folder.name)) / f"{name}.py"
        constants = "; ".join(f"{key} = {value!r}" for key, value in (params or {}).items())
        path.write_text(f"{constants}\n{text}")
        return path

    def command(self, script, build, env, heapsize, params):
        words, base = command(build, self.script(script, params), heapsize=heapsize or "2M")
        return words, base | (env or {})

    def run(self, script, *, build="stock", env=None, heapsize=None, params=None, timeout_s=60):
        """Run a script (its text, or a Path) to its end.

        `heapsize` is MicroPython's, in bytes or as "200k"; `params` become globals of the script;
        `env` is added to the environment. A script that takes longer fails the test.
        """
        return self.start(script, build=build, env=env, heapsize=heapsize, params=params).wait(timeout_s)

    def start(self, script, *, build="stock", env=None, heapsize=None, params=None):
        """The same without waiting: a Process."""
        process = Process(*self.command(script, build, env, heapsize, params))
        self.processes.append(process)
        return process

    def stop(self):
        """End what a test has left running."""
        while self.processes:
            self.processes.pop().stop()

    def close(self):
        self.stop()
        self.folder.cleanup()


TARGETS = {one.name: one for one in (UnixTarget, EmulatorTarget)}


def target_class(config):
    name = config.getoption("--target")
    if name not in TARGETS:
        raise pytest.UsageError(f"--target {name}: no such target; there is {', '.join(TARGETS)}")
    return TARGETS[name]
