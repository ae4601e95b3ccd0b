"""What the examples' host scripts share: a folder that stands for the boards' files, programs on the
MicroPython that was built for this computer, and what they say.

Something that does not happen raises Missing; `play` makes exit status 1 of it.
"""

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
ROOT = EXAMPLES.parent
MICROPYTHON = ROOT / "build" / "unix" / "stock" / "micropython"
COMMAND = Path(sys.executable).with_name("securesocket")

HOST = "127.0.0.1"
WAIT_S = 20
# Who speaks stands in front of each line.
NAME_WIDTH = 14


class Missing(Exception):
    """Something did not happen."""


class Program:
    """A running program; what it prints is shown, and kept in `output`."""

    def __init__(self, name, words, folder, env=None):
        self.name = name
        self.output = ""
        self._printed = threading.Condition()
        self.popen = subprocess.Popen(
            words, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", bufsize=1, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.popen.stdout:
            with self._printed:
                say(self.name, line)
                self.output += line
                self._printed.notify_all()

    def type(self, line):
        """A line at the program's keyboard."""
        say(self.name, "> " + line)
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.write(line + "\n")
            self.popen.stdin.flush()

    def expect(self, pattern):
        """The match of `pattern` in what it has printed, once it is there."""
        with self._printed:
            found = self._printed.wait_for(lambda: re.search(pattern, self.output, re.M), WAIT_S)
        if not found:
            raise Missing(f"{self.name} did not print {pattern!r}")
        return found

    def ends(self):
        """Waits for its end, with status 0."""
        try:
            status = self.popen.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            raise Missing(f"{self.name} did not end") from None
        self._reader.join(WAIT_S)
        if status:
            raise Missing(f"{self.name} ended with status {status}")
        return self.output

    def stop(self):
        self.popen.kill()
        self.popen.wait()
        self._reader.join(WAIT_S)
        self.popen.stdin.close()
        self.popen.stdout.close()


class Stage:
    """Where an example plays. folder: of the boards' files, with private keys; gone at the end."""

    def __init__(self, folder, programs):
        self.folder = folder
        self._programs = programs

    def command(self, *words):
        """The host's command `securesocket`, as a user types it."""
        print("$ securesocket " + shlex.join(words))
        run = subprocess.run(
            [COMMAND, *words], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        for line in run.stdout.splitlines():
            print("  " + line)
        if run.returncode:
            raise Missing(f"securesocket ended with status {run.returncode}")

    def board(self, name, script, *arguments):
        """script.main(*arguments) on a MicroPython: a Program."""
        call = f"{script}.main({', '.join(map(repr, arguments))})"
        if "async def main" in (EXAMPLES / f"{script}.py").read_text():
            call = f"import asyncio; asyncio.run({call})"
        env = {key: value for key, value in os.environ.items() if not key.startswith("MICROPY")}
        # As on a board: the frozen modules, then the files beside.
        env["MICROPYPATH"] = f".frozen:{EXAMPLES}"
        say(name, f">>> {script}.main({', '.join(map(repr, arguments))})")
        return self.program(name, [MICROPYTHON, "-c", f"import {script}; {call}"], env)

    def program(self, name, words, env=None):
        """Any other program; ended at the end if it has not ended by itself."""
        program = Program(name, [str(word) for word in words], self.folder, env)
        self._programs.callback(program.stop)
        return program


def say(name, line):
    # One write, so that lines of several threads stay whole.
    sys.stdout.write(f"{name:>{NAME_WIDTH}} | {line.rstrip()}\n")
    sys.stdout.flush()


def chapter(text):
    print(f"\n== {text}", flush=True)


def free_port():
    with socket.create_server((HOST, 0)) as listener:
        return listener.getsockname()[1]


def play(example):
    """Runs example(stage); the exit status of the program."""
    if not MICROPYTHON.exists():
        sys.exit(f"{MICROPYTHON.relative_to(ROOT)} is missing; `make build` makes it")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    started = time.monotonic()
    try:
        with contextlib.ExitStack() as programs:
            folder = programs.enter_context(tempfile.TemporaryDirectory(prefix="securesocket-example-"))
            example(Stage(Path(folder), programs))
    except Missing as error:
        print(f"\nNOT as expected: {error}", flush=True)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted", flush=True)
        return 1
    print(f"\nall as expected, in {time.monotonic() - started:.1f} s", flush=True)
    return 0


def _interrupt(number, frame):
    raise KeyboardInterrupt
