"""The Unix port in a board's place, for mpremote's own code."""

import ast
import contextlib
import os
import subprocess
import sys

import pytest

from plugins.interpreters import binary

# The board's side of mpremote: each line is a program, as repr; \x04 and a digit end what it prints.
BOARD = """
import sys
known = {}
while True:
    line = sys.stdin.readline()
    if not line:
        break
    status = 0
    try:
        exec(eval(line), known)
    except Exception as error:
        sys.print_exception(error)
        status = 1
    print("\\x04%d" % status)
"""


class Board:
    """The Unix port in place of a board: `folder` is its file system."""

    def __init__(self, folder, build="stock"):
        self.folder = folder
        folder.mkdir()
        self.build = build

    def environment(self):
        env = {name: value for name, value in os.environ.items() if not name.startswith("MICROPY")}
        # Nothing is frozen here.
        return env | {"MICROPYPATH": f":{self.folder / 'lib'}"}

    def run(self, script, build=None):
        """What a script prints; asyncio is the frozen one, as it is on boards."""
        first = "import sys; sys.path.append('.frozen'); import asyncio; asyncio.open_connection; "
        first += "asyncio.wait_for; asyncio.gather; sys.path.remove('.frozen')\n"
        done = subprocess.run(
            [binary(build or self.build), "-X", "heapsize=2M", "-c", first + script], cwd=self.folder,
            env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextlib.contextmanager
    def connected(self):
        """mpremote's own transport, with the Unix port at the other end."""
        from mpremote.transport import Transport, TransportExecError

        process = subprocess.Popen(
            [binary(self.build), "-c", BOARD], cwd=self.folder, env=self.environment(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

        class Pipe(Transport):
            in_raw_repl, mounted = True, False

            def enter_raw_repl(self, **_):
                pass

            def exit_raw_repl(self):
                pass

            def close(self):
                pass

            def exec(self, command, data_consumer=None):
                text = command if isinstance(command, str) else command.decode()
                process.stdin.write(repr(text).encode() + b"\n")
                process.stdin.flush()
                output = b""
                while b"\x04" not in output[-4:]:
                    line = process.stdout.readline()
                    assert line, "the board ended"
                    output += line
                output, _, status = output.rpartition(b"\x04")
                if status.strip() != b"0":
                    raise TransportExecError(1, output.decode())
                if data_consumer:
                    data_consumer(output)
                return output

            def eval(self, expression, parse=True):
                return ast.literal_eval(self.exec(f"print(repr({expression}))").decode())

        try:
            yield Pipe()
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait(10)

    def mpremote(self, words):
        """Runs mpremote with these words, connected to this board."""
        from mpremote import main

        with self.connected() as transport, pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                main.State, "ensure_connected", lambda state: setattr(state, "transport", transport)
            )
            patch.setattr(sys, "argv", ["mpremote", *words])
            assert not main.main(), words
