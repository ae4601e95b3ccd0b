"""The command `securesocket repl`, on a terminal."""

import os
import pty
import select
import subprocess
import sys
import time

import pytest

from plugins.board import Board
from plugins.command import run
from plugins.interpreters import ROOT


@pytest.fixture
def board(tmp_path):
    board = Board(tmp_path)
    yield board
    board.close()


def test_a_hint_and_then_what_the_board_says(board):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "securesocket_cli", "repl", board.port], stdin=theirs, stdout=theirs,
        stderr=theirs, cwd=ROOT / "tools", start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    try:
        until(ours, b"Use Ctrl-]")
        time.sleep(1)
        os.write(ours, b"typed")
        said = until(ours, b"typed")
        os.write(ours, b"\x1d")
        status = process.wait(20)
        assert status == 0, os.read(ours, 4000)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"typed" in said


def until(terminal, words, seconds=20):
    """What is printed up to these words."""
    said, end = b"", time.monotonic() + seconds
    while words not in said:
        ready = select.select([terminal], [], [], max(0, end - time.monotonic()))[0]
        assert ready, said
        said += os.read(terminal, 1000)
    return said


def test_the_hint_names_help(board):
    """Without a terminal mpremote cannot start: its status is told."""
    done = subprocess.run(
        [sys.executable, "-m", "securesocket_cli", "repl", board.port], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, cwd=ROOT / "tools", timeout=30,
    )  # fmt: skip
    assert "Ctrl-] ends it. To begin with: import securesocket; securesocket.help()\n" in done.stdout


def test_a_port_that_does_not_exist():
    assert "/dev/ttyNONE: no such port; " in run("repl", "/dev/ttyNONE", status=1)
