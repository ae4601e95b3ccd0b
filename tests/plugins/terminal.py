"""Pseudo-terminals in tests."""

import contextlib
import os
import pty
import select
import subprocess
import sys

from plugins.interpreters import ROOT


def readable(file, timeout_s):
    """Whether a descriptor has something to read within this time. A long session of tests has more than the
    1,024 descriptors that select() can take."""
    poller = select.poll()
    poller.register(file, select.POLLIN)
    return bool(poller.poll(max(0, timeout_s) * 1000))


def read_until(file, mark, typing=b""):
    """What comes up to `mark`; `typing` goes in each second: what comes before a terminal is open is lost."""
    said = b""
    for _ in range(60):
        while mark not in said and readable(file, 1):
            said += os.read(file, 1000)
        if mark in said:
            return said
        os.write(file, typing)
    raise AssertionError(said)


@contextlib.contextmanager
def program(module, *words):
    """(process, terminal): a module of tools/ as a program on a terminal of its own; killed at the end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *words], cwd=ROOT / "tools", stdin=theirs, stdout=theirs,
        stderr=theirs, start_new_session=True,
    )  # fmt: skip
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
