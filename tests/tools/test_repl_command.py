"""The command `securesocket repl`, on a terminal."""

import os

from plugins.board import Board
from plugins.command import run
from plugins.terminal import program, read_until


def test_a_hint_and_then_the_board(tmp_path):
    board = Board(tmp_path)
    try:
        with program("securesocket_cli", "repl", board.port) as (process, terminal):
            # Ctrl-B: the board tells its version.
            said = read_until(terminal, b">>> ", typing=b"\x02")
            hint, _, said = said.partition(b"import securesocket; securesocket.help()")
            assert b"Ctrl-] ends it" in hint and b"MicroPython on a test's board" in said
            os.write(terminal, b"\x1d")
            assert process.wait(20) == 0
    finally:
        board.close()


def test_a_port_that_does_not_exist():
    assert "/dev/ttyNONE: no such port; " in run("repl", "/dev/ttyNONE", status=1)
