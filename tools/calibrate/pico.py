"""The row of the table for the Pico, measured on an emulated one, whose heap is seen from outside.

No build for the Pico counts what mbedTLS holds. But it is the same mbedTLS with the same width of a word: the
row has the pieces of the 32-bit build, and its session more of them (or fewer) by what the peak of a whole
handshake is above that build's.
"""

import datetime
import re
import tempfile
from pathlib import Path

from pieces import packed

from certstore import anchors
from emulator.client import ROOT, Emulator, measure
from plugins.peers import OpensslServer

SCRIPT = Path(__file__).resolve().parent / "handshake_device.py"
BUDGET = ROOT / "lib" / "securesocket" / "securesocket" / "budget.py"
TIMEOUT_MS = 180_000
PLATFORM = "rp2"
WORD = 4
# (one of heap_table's KINDS, kind of plugins.pki.new_key): the cheapest to verify, and the most usual.
MEASURED = (("EC P-256", "ec"), ("RSA 2048", "rsa2048"))
# What a host not seen before is reckoned with: two certificates, and their root.
LENGTH = 3
# Above the session's own small pieces, below the smallest of its large ones.
PIECE_BYTES = 256
# Of a row in the table.
BEGIN = "    # The Pico: "
END = "    ),"


def peaks(chain, build_time_s):
    """({kind: bytes}, mbedTLS's version) of verified handshakes on an emulated Pico."""
    cases, servers = [], []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for _, kind in MEASURED:
                members = chain(kind, LENGTH)
                servers.append(OpensslServer(folder, members[:-1], "-tls1_2"))
                cases.append((servers[-1].port, anchors.build([members[-1].der], build_time_s)))
            with Emulator() as pico:
                done = measure(pico, SCRIPT.read_text(), {"CASES": cases}, TIMEOUT_MS)
        finally:
            for server in servers:
                server.stop()
    found = [window["heap_peak_bytes"] - window["heap_before_bytes"] for window in done["windows"]]
    names = [name for name, _ in MEASURED]
    return dict(zip(names, found, strict=True)), tuple(map(int, done["stdout"].split(".")))


def row(base, chain, build_time_s):
    """Lines of the Pico's row. base: of the build with the same word, as run.row() has it."""
    _, word, block, session, kinds, _, _ = base
    found, version = peaks(chain, build_time_s)
    more = [found[name] - total(session, parts, word) for name, *parts in kinds if name in found]
    told = ", ".join(f"{size:,} bytes with {name}" for name, size in found.items())
    print(f"emulated Pico: {told}; above the 32-bit build: {more}", flush=True)
    session = changed(session, round(sum(more) / len(more) / block) * block, block)
    return [
        f"{BEGIN}a verified handshake's peak, measured on an emulated one on {datetime.date.today()}, is",
        f"    # {told} (chains of {LENGTH}).",
        "    (",
        f'        "stock", "{PLATFORM}", {word}, {version!r},',
        f"        {packed(session, block)!r},",
        "        PIECES,",
        END,
    ]


def kept(table):
    """Lines of the Pico's row in a table that is there already; none if it has none."""
    lines = table.read_text().splitlines() if table.is_file() else []
    begin = next((at for at, line in enumerate(lines) if line.startswith(BEGIN)), None)
    return [] if begin is None else lines[begin : lines.index(END, begin) + 1]


def total(session, parts, word):
    """What the budget reckons with, of such a chain and a host not seen before."""
    anchor, certificate, arithmetic = map(sum, parts)
    ours = int(re.search(r"^_PIECES = const\((\d+)\)", BUDGET.read_text(), re.M)[1]) + 4
    return sum(session) + anchor + (LENGTH - 1) * certificate + arithmetic + ours * word


def changed(pieces, size, block):
    """`pieces` with so many bytes more, in small pieces, or fewer, of the last ones."""
    pieces = list(pieces)
    while size > 0:
        pieces.append(min(size, PIECE_BYTES))
        size -= pieces[-1]
    while size < 0:
        at = max(at for at, piece in enumerate(pieces) if piece > block)
        less = min(-size, pieces[at] - block)
        pieces[at] -= less
        size += less
    return pieces
