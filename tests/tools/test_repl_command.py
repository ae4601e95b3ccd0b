"""The command `securesocket repl`, on a terminal."""

import os
import pty
import subprocess
import sys
import time

from plugins.board import Board
from plugins.command import run
from plugins.interpreters import ROOT
from plugins.terminal import readable


def read(terminal, seconds):
    """What is printed within this time."""
    said, end = b"", time.monotonic() + seconds
    while readable(terminal, end - time.monotonic()):
        said += os.read(terminal, 1000)
    return said


def test_a_hint_and_then_the_board(tmp_path):
    board = Board(tmp_path)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "securesocket_cli", "repl", board.port], stdin=theirs, stdout=theirs,
        stderr=theirs, cwd=ROOT / "tools", start_new_session=True,
    )  # fmt: skip
    try:
        said = b""
        for _ in range(20):
            # Ctrl-B: the board tells its version. What was typed before the terminal is open is lost.
            os.write(ours, b"\x02")
            said += read(ours, 1)
            if b">>> " in said:
                break
        hint, _, said = said.partition(b"import securesocket; securesocket.help()")
        assert b"Ctrl-] ends it" in hint and b"MicroPython on a test's board" in said
        os.write(ours, b"\x1d")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
        board.close()


def test_a_port_that_does_not_exist():
    assert "/dev/ttyNONE: no such port; " in run("repl", "/dev/ttyNONE", status=1)
