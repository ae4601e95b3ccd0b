"""Where a program of ours runs on MicroPython: `unix`, `emulator` (a Pico), or the port of a board.

What a device tells is a tuple a line, as repr, behind MARK; whatever else it prints is not read.
"""

import ast
import importlib.util
import math
import pathlib
import subprocess
import sys
import tempfile

from certstore import names

from .errors import CommandError
from .transport import mpremote, need_mpremote, need_port

MARK = "@@"
# In front of every program.
TELL = f"""\
def tell(*row):
    print({MARK!r}, repr(row))
"""
_ROOT = pathlib.Path(__file__).resolve().parents[2]
# 32 bits, as devices have: what is held takes as much as on one.
_BINARY = _ROOT / "build" / "unix" / "stock32" / "micropython"
_TIMEOUT_S = 120
# An emulated Pico passes this much of its own time, at most; a handshake takes 2 s of it.
_EMULATED_MS = 60_000
_ROM_STORE = "/rom/roots.bin"


def target(name, micropython=None, heap=None, store=None):
    """The target of this name, to be used in a `with`. micropython: the Unix port's binary, else the one in
    the checkout; heap: its heap in bytes, else its own default; store: a file that it should have as its own.
    Raises CommandError."""
    kind = _KINDS.get(name, Board)
    for option, value, kinds in (
        ("--micropython", micropython, (Unix,)),
        ("--heap", heap, (Unix,)),
        ("--store", store, (Unix, Emulated)),
    ):
        if value is not None and kind not in kinds:
            raise CommandError(f"{option}: found target {names.escape(name)}, {_ONLY[option]}")
    return kind(name, micropython, heap, store)


_ONLY = {
    "--micropython": "expected unix: others bring their own",
    "--heap": "expected unix: the heap of others is as large as it is",
    "--store": "expected unix or emulator; remedy: securesocket deploy PORT --store FILE",
}


class Unix:
    """MicroPython's Unix port, as it would start where this command was typed."""

    # The name under which the device finds a server on this computer; where it has the store of `store`.
    local_host = "localhost"
    own_store = None

    def __init__(self, name, micropython, heap, store):
        self.name = name
        self.path = pathlib.Path(micropython) if micropython else _BINARY
        self.install = "make build"
        if not self.path.is_file():
            raise CommandError(
                f"{names.escape(str(self.path))}: no such file, expected MicroPython's Unix port; "
                "remedy: make build, in a checkout, or --micropython PATH"
            )
        self._words = [] if heap is None else ["-X", f"heapsize={heap}"]
        self.own_store = str(pathlib.Path(store).resolve()) if store else None

    def run(self, source, params=None):
        """The tuples that a program tells. params: its globals. Raises CommandError."""
        words = [str(self.path), *self._words, "-c", _program(source, params)]
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise CommandError(f"{self.name}: MicroPython has not ended after {_TIMEOUT_S} s") from None
        except OSError as error:
            raise CommandError(
                f"{names.escape(str(self.path))}: {error.strerror}; expected MicroPython's Unix port"
            ) from None
        said = done.stdout.decode("utf-8", "replace")
        return told(said, done.returncode, done.stderr.decode("utf-8", "replace"), self.name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Emulated:
    """An emulated Pico with the firmware of this checkout, networked through PPP."""

    local_host = "localhost"
    own_store = None

    def __init__(self, name, _micropython, _heap, store):
        self.name = name
        self.install = "make firmware BOARD=PICO_SECURE"
        self._client, self._errors, files = _emulator()
        self._romfs = None
        if store:
            self.own_store = _ROM_STORE
            self._romfs = files.romfs({"roots.bin": pathlib.Path(store).read_bytes()})

    def run(self, source, params=None):
        """As Unix.run."""
        try:
            done = self._pico.run(_program(source, params), timeout_ms=_EMULATED_MS)
        except self._errors.EmulatorError as error:
            raise CommandError(f"{self.name}: {error}") from None
        return told(done["stdout"], done["status"], done["stderr"], self.name)

    def measured(self, source, params=None):
        """(tuples, bytes): as `run`, and by how much the heap rose between the program's MARK.on() and
        MARK.off(), seen from outside at every moment; None if it marks nothing."""
        try:
            done = self._pico.run(self._client.MARK + _program(source, params), timeout_ms=_EMULATED_MS)
        except self._errors.EmulatorError as error:
            raise CommandError(f"{self.name}: {error}") from None
        rows = told(done["stdout"], done["status"], done["stderr"], self.name)
        risen = [
            math.ceil(window["heap_peak_bytes"] - window["heap_before_bytes"]) for window in done["windows"]
        ]
        return rows, risen[0] if risen else None

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        path = None
        if self._romfs:
            path = pathlib.Path(self._folder.name) / "romfs.bin"
            path.write_bytes(self._romfs)
        try:
            self._pico = self._client.Emulator(romfs=path)
        except self._errors.EmulatorError as error:
            self._folder.cleanup()
            raise CommandError(f"{self.name}: {error}") from None
        return self

    def __exit__(self, *_):
        self._pico.close()
        self._folder.cleanup()


def _emulator():
    """The emulator's modules, which only a checkout has: (client, errors, files)."""
    tools = _ROOT / "tools"
    missing = [name for name in ("rp2040py", "elftools") if importlib.util.find_spec(name) is None]
    if not (tools / "emulator").is_dir():
        raise CommandError("emulator: not here, expected a checkout of securesocket; remedy: --target unix")
    if missing:
        raise CommandError(f"emulator: {', '.join(missing)} is not installed; remedy: make build")
    if str(tools) not in sys.path:
        sys.path.append(str(tools))
    from emulator import client, errors, files

    return client, errors, files


class Board:
    """A board with MicroPython, through mpremote."""

    # A board does not see this computer's loopback.
    local_host = None
    own_store = None

    def __init__(self, name, _micropython, _heap, _store):
        self.name = name
        self.install = f"securesocket deploy {names.escape(name)}"
        need_mpremote()
        need_port(name)

    def run(self, source, params=None):
        """As Unix.run; the board is soft reset before."""
        return told(mpremote(["connect", self.name, "exec", _program(source, params)]), 0, "", self.name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


_KINDS = {"unix": Unix, "emulator": Emulated}


def _program(source, params):
    constants = "".join(f"{name} = {value!r}\n" for name, value in (params or {}).items())
    return TELL + constants + source


def told(said, status, trouble, what):
    """The tuples of a device's lines; the last one must be ("end",). CommandError if the device has failed
    before, or says something else."""
    rows = []
    for line in said.splitlines():
        if not line.startswith(MARK):
            continue
        try:
            row = ast.literal_eval(line[len(MARK) :].strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            row = None
        if not isinstance(row, tuple) or not row or not isinstance(row[0], str):
            raise CommandError(
                f"{names.escape(what)}: found {names.escape(line[:100])!r} as the device's answer, expected "
                "a tuple; remedy: reset the device, and try again"
            )
        rows.append(row)
    if status or not rows or rows[-1] != ("end",):
        lines = (trouble.strip() or said.strip() or "nothing").splitlines()
        raise CommandError(
            f"{names.escape(what)}: the device's program did not end: found {names.escape(lines[-1])!r}"
            + (_OUT_OF_MEMORY if "MemoryError" in lines[-1] else "; remedy: reset the device, and try again")
        )
    return rows[:-1]


_OUT_OF_MEMORY = ", expected room for it; remedy: a larger heap, or free some of it (main.py, boot.py)"
