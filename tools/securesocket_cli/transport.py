"""mpremote, run as a program: how every command here talks to a board."""

import importlib.util
import os
import subprocess
import sys

from certstore import names

from .errors import CommandError

_NO_BOARD = "no device found"
# What pyserial says when a port is gone while it is in use, on the systems that there are.
_LOST = ("SerialException", "disconnected", "BrokenPipeError", "ConnectionResetError", "Input/output error")
# A port that is a path, and so can be looked for; others are names of Windows, URLs and mpremote's own words.
_DEVICE = "/"
# Longer than any one program of ours takes on a board, also on an emulated one.
_TIMEOUT_S = 300


def mpremote(words, shown=False, timeout_s=_TIMEOUT_S):
    """Run mpremote; what it prints, unless it is `shown`. CommandError with its last line if it fails, or if
    it has not ended after timeout_s: a board that hangs says nothing."""
    status, output, said = program("mpremote", words, shown, timeout_s)
    if status:
        raise CommandError(_failure(status, output, said))
    return output


def program(module, words, shown, timeout_s):
    """Run a Python program that talks to a board: (exit status, what it printed unless it is `shown`, what it
    said on standard error). CommandError if it has not ended after timeout_s."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *words],
            stdin=subprocess.DEVNULL,
            stdout=None if shown else subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CommandError(
            f"{module}: no answer from the board for {timeout_s} s; remedy: reset it, and try again"
        ) from None
    printed = done.stdout or b""
    return done.returncode, printed.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def _failure(status, output, said):
    lines = (output + "\n" + said).strip().splitlines()
    reason = lines[-1].removeprefix("mpremote: ") if lines else f"exit status {status}"
    lost = [line for line in lines if any(word in line for word in _LOST)]
    if lost and "Traceback" in said:
        reason = f"the connection to the board was lost ({lost[0].rpartition(': ')[2]})"
    remedy = "; remedy: connect a board, or name it with --port" if reason == _NO_BOARD else ""
    return f"mpremote: {names.escape(reason)}{remedy}"


def need_mpremote():
    if importlib.util.find_spec("mpremote") is None:
        raise CommandError("mpremote is not installed; expected it beside this command: pip install mpremote")


def need_port(port):
    """CommandError if this is the path of a serial device that is not there."""
    if port.startswith(_DEVICE) and not os.path.exists(port):
        raise CommandError(f"{names.escape(port)}: no such port; {_others()}")


def _others():
    from serial.tools import list_ports

    # Those on USB: a computer's own serial ports are no boards.
    found = sorted(port.device for port in list_ports.comports() if port.vid is not None)
    return f"found {', '.join(found)}" if found else "found no board on USB; remedy: connect one"
