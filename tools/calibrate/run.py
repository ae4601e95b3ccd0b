"""`make calibrate`: measures what a handshake takes of the heap, and writes the table that the budget reads.

On the builds `meter32` and `meter`, whose mbedTLS counts what it holds, with chains of every kind of key;
and, with --emulator, on an emulated Pico, whose peak tells how far its row is from that of the 32-bit build.
Writes heap_table_32.py and heap_table_64.py in lib/securesocket/securesocket: pieces by their size, because
a heap in fragments is asked for pieces.
"""

import argparse
import collections
import datetime
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "lib" / "certstore"), str(ROOT / "tests"), str(ROOT / "tools")]

import pico  # noqa: E402
from cryptography import x509  # noqa: E402
from cryptography.x509.oid import NameOID  # noqa: E402
from pieces import packed  # noqa: E402

from certstore import anchors  # noqa: E402
from plugins.peers import OpensslServer  # noqa: E402
from plugins.pki import make  # noqa: E402

SCRIPTS = Path(__file__).resolve().parent
FOLDER = ROOT / "lib" / "securesocket" / "securesocket"
BUILD_TIME_S = 86400
# (name, kind of plugins.pki.new_key): in the order of what verifying one signature takes.
KINDS = (
    ("EC P-256", "ec"),
    ("RSA 2048", "rsa2048"),
    ("EC P-384", "ec384"),
    ("EC P-521", "ec521"),
    ("RSA 3072", "rsa3072"),
    ("RSA 4096", "rsa4096"),
)
# (build, sys.platform, bytes of a word)
BUILDS = (("meter32", "linux", 4), ("meter", "linux", 8))
# As public CAs name themselves and their customers; a certificate's names and hosts take heap as well.
HOSTS = ("localhost", "www.localhost", "api.localhost", "127.0.0.1")


def authority(text):
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "An Authority, Inc."),
            x509.NameAttribute(NameOID.COMMON_NAME, text),
        ]
    )


def chain(kind, length):
    """Members, the server's first, the root last; `length` of them."""
    member = make(authority("A Root"), key=kind, ca=True)
    for number in range(length - 2):
        member = make(authority(f"Intermediate {number}"), member, key=kind, ca=True)
    return list(make("localhost", member, key=kind, hosts=HOSTS).upwards())


def measured(build, kind, length):
    with tempfile.TemporaryDirectory() as folder:
        members = chain(kind, length)
        store = Path(folder) / "store.bin"
        store.write_bytes(anchors.build([members[-1].der], BUILD_TIME_S))
        server = OpensslServer(folder, members[:-1], "-tls1_2")
        try:
            program = ROOT / "build" / "unix" / build / "micropython"
            done = subprocess.run(
                [program, "-X", "heapsize=1M", SCRIPTS / "handshake.py", str(server.port), store],
                capture_output=True,
                text=True,
                timeout=60,
            )
        finally:
            server.stop()
    if done.returncode:
        raise SystemExit(f"{build}, {kind}, {length} certificates:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def without(pieces, others):
    """`pieces` in their order, less `others`."""
    left = collections.Counter(others)
    kept = []
    for size in pieces:
        if left[size]:
            left[size] -= 1
        else:
            kept.append(size)
    return kept


def footprint(events):
    """Pieces, by their place, that these events take of one free block where each goes to the first hole that
    is large enough: what is free between two pieces, and too small for the next, counts as one."""
    held = {}
    top = 0
    layout = []
    for number, event in enumerate(events):
        if event < 0:
            del held[-1 - event]
            continue
        at = 0
        for start, size in sorted(held.values()):
            if start - at >= event:
                break
            at = start + size
        held[number] = (at, event)
        if at + event > top:
            top = at + event
            layout = sorted(held.values())
    pieces = []
    at = 0
    for start, size in layout:
        if start > at:
            pieces.append(start - at)
        pieces.append(size)
        at = start + size
    return pieces


def row(build, word):
    """What a row has of this build."""
    block = 4 * word
    kinds = []
    for name, kind in KINDS:
        short, long = measured(build, kind, 3), measured(build, kind, 4)
        stages = short["stages"]
        anchor = without(stages["anchored"], stages["shown"])
        # One certificate more: what it is parsed to, and what verifying with its key leaves behind.
        certificate = without(long["stages"]["verified"], stages["verified"])
        arithmetic = without(footprint(long["events"]), certificate * 3)
        if name.startswith("RSA"):
            # The last piece is what verifying with this key leaves behind, and lies where the next needs
            # pieces of twice its size.
            certificate[-1] *= 2
        kinds.append((name, anchor, certificate, arithmetic))
        print(
            f"{build:8} {name:9} session {sum(stages['shown']):6} anchor {sum(anchor):5} certificate "
            f"{sum(certificate):5} arithmetic {sum(arithmetic):6} ours {long['ours']:5} "
            f"events {len(long['events'])}",
            flush=True,
        )
    # The other objects of ours are small, and stood for by the list in which the budget keeps its pieces.
    ours = [long["context"], long["socket"]]
    return block, ours + stages["shown"], kinds, long["mbedtls"], long["micropython"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--emulator", action="store_true", help="measure the row of the Pico too")
    with_emulator = parser.parse_args().emulator
    for build, platform, word in BUILDS:
        table = FOLDER / f"heap_table_{8 * word}.py"
        base = (platform, word, *row(build, word))
        if with_emulator and word == pico.WORD:
            others = pico.row(base, chain, BUILD_TIME_S)
        else:
            others = pico.kept(table)
        table.write_text(text(base, others))
        subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", table], check=True)
        print(f"written: {table.relative_to(ROOT)}")


def text(base, others):
    """The table: a row of a build, and lines of other rows, which may name PIECES."""
    platform, word, block, session, kinds, mbedtls, micropython = base
    day = datetime.date.today().isoformat()
    lines = [
        '"""What a handshake holds of the heap: written by `make calibrate`, not by hand.',
        "",
        f"Measured on {day} with MicroPython {micropython} and the mbedTLS of each row, on the heap of",
        "MicroPython. Pieces: three bytes each, blocks of the heap (two bytes) and how many of them follow.",
        '"""',
        "",
        "# What the keys of certificates are, by what verifying a signature takes.",
        f"KINDS = {tuple(name for name, _ in KINDS)!r}",
        "",
        "# For each of KINDS: (anchor, certificate, arithmetic).",
        "PIECES = (",
    ]
    for name, *parts in kinds:
        lines.append(f"    # {name}: {', '.join(str(sum(part)) for part in parts)} bytes")
        lines.append("    (" + ", ".join(repr(packed(part, block)) for part in parts) + "),")
    lines += [
        ")",
        "",
        "# (engine, sys.platform, bytes of a word, mbedTLS, session, for each of KINDS as PIECES)",
        "ROWS = (",
        "    (",
        f'        "stock", {platform!r}, {word}, {tuple(mbedtls)!r},',
        f"        {packed(session, block)!r},",
        "        PIECES,",
        "    ),",
    ]
    return "\n".join([*lines, *others, ")", ""])


if __name__ == "__main__":
    main()
