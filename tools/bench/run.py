"""`make bench`: measures securesocket beside MicroPython's bare tls module, in one run.

Writes build/bench.json (one object a row: name, value, unit, and rival, rival_value, ratio where there is a
rival) and docs/benchmarks.md, and prints the table. Ratios are value / rival_value, of paired runs their
median. Nothing here passes or fails: limits are for people.
"""

import hmac
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [
    str(ROOT / "lib" / "certstore"),
    str(ROOT / "tests"),
    str(ROOT / "tools"),
    str(ROOT / "tools" / "build"),
]


def script(path):
    """A module that is known by its path: its name is that of another one here."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


import certifi  # noqa: E402
import mip  # noqa: E402
from datagram_rows import datagrams  # noqa: E402
from device import device  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from server_rows import serving  # noqa: E402

from certstore import anchors, layout, pem, spki, writer  # noqa: E402
from certstore.certificate import Certificate  # noqa: E402
from certstore.subjects import subject_hash  # noqa: E402
from plugins.interpreters import command  # noqa: E402
from plugins.peers import OpensslServer, PythonServer  # noqa: E402
from plugins.pki import Pki  # noqa: E402
from securesocket_cli import packages  # noqa: E402

budget_campaign = script(ROOT / "tools" / "campaign" / "budget.py")
SCRIPTS = Path(__file__).resolve().parent
BUILD_TIME_S = 86400
BARE = "tls, the one root preloaded"
# A first connection to a host is the first of a process.
PROCESSES = 20
PAIRS = 60
SITUATIONS = 700
ROUNDS = 20_000
HEAP = "512k"
# What heap.py measures, and its row.
HEAPS = (
    (
        "smallest",
        "smallest_heap",
        "free heap at which a verified handshake passes 20 of 20 times, with budget=None",
    ),
    ("left", "heap_left", "heap left behind by 10 connections"),
    ("open", "heap_open", "heap held by an open connection"),
)


def run(build, script, *words, heapsize="2M"):
    """What tools/bench/<script> says: the JSON of its last line."""
    argv, env = command(build, SCRIPTS / script, *map(str, words), heapsize=heapsize)
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise SystemExit(f"{script} failed on {build}:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


class Rows:
    def __init__(self):
        self.rows = []

    def add(self, name, value, unit, text, rival=None, rival_value=None, ratio=None, limit=None):
        """`limit` is what the project wants of the row, as text."""
        row = {"name": name, "value": round(value, 3), "unit": unit, "text": text}
        if limit is not None:
            row["limit"] = limit
        if rival is not None:
            row |= {"rival": rival, "rival_value": round(rival_value, 3)}
            # Of nothing there is no ratio.
            row["ratio"] = round(value / rival_value if ratio is None else ratio, 3) if rival_value else None
        self.rows.append(row)


def handshakes(rows, sides):
    for kind, server, root, store in sides:
        words = (server.port, root, store)
        orders = ([], ["bare-first"])
        firsts = [run("stock", "handshake.py", *words, 1, *orders[i % 2])[0] for i in range(PROCESSES)]
        suffix = "" if kind == "ec" else "_" + kind
        pairs(
            rows, "handshake_first" + suffix, firsts, f"first verified connection to a host, {kind.upper()}"
        )
        again = run("stock", "handshake.py", *words, PAIRS)[1:]
        pairs(rows, "handshake_again" + suffix, again, f"further connection, {kind.upper()}")
        usual = run("stock", "handshake.py", *words, PAIRS, "nagle")[1:]
        pairs(
            rows,
            "handshake_usual" + suffix,
            usual,
            f"the same against tls as it is usually called, with Nagle's algorithm, {kind.upper()}",
        )


def pairs(rows, name, measured, text):
    ours = statistics.median(pair[0] for pair in measured) / 1000
    bare = statistics.median(pair[1] for pair in measured) / 1000
    ratio = statistics.median(pair[0] / pair[1] for pair in measured)
    rows.add(name, ours, "ms", text, BARE, bare, ratio)


def heaps(rows, sides):
    for kind, server, root, store in sides:
        words = (server.port, root, store)
        found = {side: run("stock32", "heap.py", side, *words, heapsize=HEAP) for side in ("ours", "bare")}
        for key, name, text in HEAPS:
            ours, bare = found["ours"][key], found["bare"][key]
            rows.add(f"{name}_{kind}", ours, "bytes", f"{text}, {kind.upper()}", BARE, bare)
        smallest = run("stock32", "heap.py", "budget", *words, heapsize=HEAP)["smallest"]
        text = f"free heap from which on the budget says yes, and it passes 20 of 20 times, {kind.upper()}"
        bare = found["bare"]["smallest"]
        rows.add(f"smallest_heap_budget_{kind}", smallest, "bytes", text, BARE, bare)


def budgets(rows, folder, pki):
    """What the budget costs, and how often it is right: a sample of `make campaign NAME=budget`."""
    store = Path(folder) / "budget.bin"
    store.write_bytes(anchors.build([pki.rsa_root.der], BUILD_TIME_S))
    found = run("stock32", "budget.py", store, heapsize="128k")
    told = ", ".join(
        f"{name} {found[key][0] / 1000:.2f} (worst {found[key][1] / 1000:.2f})"
        for name, key in (("a yes", "yes"), ("a yes tried in pieces", "rehearsal"), ("a no", "no"))
    )
    slowest = max(found[key][0] for key in ("yes", "rehearsal", "no")) / 1000
    text = f"the budget's check, 128 KB heap, the slowest median of: {told}; leaves {found['left']} bytes"
    rows.add("budget_check", slowest, "ms", text, limit="≤ 3 ms")
    sample = budget_campaign.figures(budget_campaign.campaign(SITUATIONS))
    told = f"lower 95 % bound, n = {sample['n']} situations, {sample['near']} near the limit"
    for name, word, limit in (("budget_yes_right", "yes", "≥ 0.99"), ("budget_no_right", "no", "≥ 0.9")):
        text = f"share of {word} that was right, {told}: {sample[word + '_right']} of {sample[word]}"
        rows.add(name, sample[word + "_bound"], "", text, limit=limit)
    text = f"of {sample['no']} no, those that would have worked with 4 KB to spare"
    rows.add("budget_no_near", sample["no_near"], "", text, limit="0")


def traces(rows, folder, pki, store):
    """What the option `trace` costs, with a server that echoes."""
    server = PythonServer(folder, pki.ec)
    try:
        found = run("stock", "trace.py", server.port, store, PAIRS)
        held = run("stock32", "trace.py", server.port, store, 2, heapsize=HEAP)["held"]
    finally:
        server.stop()
    off = "the same without it"
    for name, key, text in (
        ("trace_cost", "handshake", "a verified connection with `trace`, its callable doing nothing"),
        ("trace_echo", "echo", "an echo of 100 KB with it"),
    ):
        ours, theirs = (statistics.median(side) / 1000 for side in zip(*found[key], strict=True))
        ratio = statistics.median(pair[0] / pair[1] for pair in found[key])
        rows.add(name, ours, "ms", text, off, theirs, ratio)
    rows.add("trace_heap", held[0], "bytes", "heap held by an open connection with `trace`", off, held[1])


def lookups(rows, store):
    found = run("stock32", "lookup.py", store, heapsize="1M")
    rows.add("lookup_rate", found["rate"], "1/s", "look-ups by SKI in 117 roots, 32-bit Unix build")
    rows.add(
        "lookup_allocated", found["allocated"], "bytes", "heap allocated by a look-up, by SKI or subject"
    )
    rows.add("import_heap", run("stock32", "import.py", "context"), "bytes", "import and one context, frozen")
    rows.add(
        "loaded_heap",
        run("stock32", "import.py", "all"),
        "bytes",
        "everything a verified connection loads, frozen",
    )


def stores(rows, folder):
    """The store of Mozilla's roots beside other forms of them, and beside a store of the same roots whole."""
    roots = pem.decode(Path(certifi.where()).read_bytes())
    blob = anchors.build(roots, BUILD_TIME_S)
    text = f"the store of Mozilla's {len(roots)} roots"
    known = [Certificate(der) for der in roots]
    subject_key = sum(4 + len(c.subject) + len(c.public_key_info) for c in known)
    floor = sum(map(raw_key, known)) + len(zlib.compress(b"".join(bytes(c.subject) for c in known), 9))
    for name, rival, size in (
        ("store_mozilla", "raw keys and deflated names, nothing else", floor),
        ("store_vs_pem", "PEM, certifi's file", Path(certifi.where()).stat().st_size),
        ("store_vs_der", "DER, one after another", sum(len(der) for der in roots)),
        ("store_vs_subject_key", "subject and key only (ESP-IDF's bundle)", subject_key),
    ):
        rows.add(name, len(blob), "bytes", text, rival, size)
    packed, whole = Path(folder) / "packed.bin", Path(folder) / "whole.bin"
    packed.write_bytes(blob)
    records = [writer.record(subject_hash(c.subject), c.ski, layout.ANCHOR, c.der) for c in known]
    parts = []
    header = writer.Writer(writer.Entries([]), writer.Entries(records), BUILD_TIME_S).write(parts.append)
    whole.write_bytes(header + b"".join(parts))
    heap = run("stock32", "store.py", packed, whole)["heap"]
    rows.add("store_open_heap", heap["bytes"], "bytes", "heap held by an open store, in memory")
    rows.add("store_open_heap_file", heap["file"], "bytes", "heap held by an open store, of a file")
    for build, name in (("stock", "lay_out"), ("stock32", "lay_out_32bit")):
        found = run(build, "store.py", packed, whole, heapsize="64M")
        ours, copied = (statistics.median(side) for side in zip(*found["pairs"], strict=True))
        ratio = statistics.median(pair[0] / pair[1] for pair in found["pairs"])
        text = f"an anchor found by SKI, checked and laid out, `{build}`"
        rows.add(name, ours, "us", text, "found, checked and copied from a store of whole DER", copied, ratio)
    rows.add("lay_out_buffer", found["buffer"], "bytes", "buffer for laying out any of them")


def raw_key(certificate):
    """Bytes of an RSA modulus, or of an EC point's coordinates."""
    if certificate.key_type == "RSA":
        return len(spki.rsa_numbers(certificate.public_key)[0])
    return len(certificate.public_key) - 1


def derivations(rows):
    text = f"a round of the key derivation of encrypted keys (PBKDF2, HMAC-SHA-256), of {ROUNDS:,}"
    for build, name in (("stock", "pbes2"), ("stock32", "pbes2_32bit")):
        pairs = []
        for _ in range(9):
            ours = 1e6 / run(build, "pbes2.py", ROUNDS)["rounds_per_second"]
            pairs.append((ours, hmac_loop(ROUNDS)))
        ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(ours / theirs for ours, theirs in pairs)
        rows.add(name, ours, "us", f"{text}, `{build}`", "CPython's loop over hmac.new", theirs, ratio)


def hmac_loop(rounds):
    """Microseconds a round of the same derivation over `hmac.new`, on CPython."""
    password, start = b"correct horse battery staple", time.perf_counter()
    digest = hmac.new(password, b"0123456789abcdef\0\0\0\1", "sha256").digest()
    total = int.from_bytes(digest, "big")
    for _ in range(rounds - 1):
        digest = hmac.new(password, digest, "sha256").digest()
        total ^= int.from_bytes(digest, "big")
    total.to_bytes(32, "big")
    return (time.perf_counter() - start) / rounds * 1e6


def sizes(rows, folder):
    """The packages as mip installs them on MicroPython 1.26: the .mpy files of the index."""
    index = Path(folder) / "mip"
    mip.build(index)
    total = {}
    for name in packages.names():
        listing = json.loads((index / "package" / mip.MPY / name / "latest.json").read_text())
        total[name] = {
            to: (index / "file" / short[:2] / short).stat().st_size for to, short in listing["hashes"]
        }
    rows.add(
        "mip_core", sum(total["securesocket"].values()), "bytes", "mip install of the core, .mpy of 1.26"
    )
    for package in ("certstore", "securesocket"):
        size = sum(size for to, size in total["securesocket-full"].items() if to.startswith(package + "/"))
        rows.add(f"size_{package}", size, "bytes", f"{package} with all its parts as .mpy files")


def show(rows):
    table = Table(title="securesocket beside its rivals")
    for column, justify in (
        ("row", "left"),
        ("value", "right"),
        ("rival", "left"),
        ("rival's", "right"),
        ("ratio", "right"),
        ("limit", "right"),
    ):
        table.add_column(column, justify=justify)
    for row in rows.rows:
        table.add_row(
            row["name"],
            number(row, "value"),
            row.get("rival", ""),
            number(row, "rival_value"),
            ratio(row),
            row.get("limit", ""),
        )
    Console().print(table)


def number(row, key):
    return f"{row[key]:,.10g} {row['unit']}" if key in row else ""


def ratio(row):
    return "" if row.get("ratio") is None else f"{row['ratio']:.3f}"


def document(rows):
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`: one run, each row beside its rival on the same build, server and machine.",
        f"This one: {platform.machine()}, {platform.system()}, Python {platform.python_version()}, certifi "
        f"{certifi.__version__}; MicroPython's Unix port, `stock` (64 bit) for times, `stock32` for heap.",
        "A ratio is value / rival; of times, the median of paired runs. Times include resolving, connecting",
        "and closing on loopback, with TCP_NODELAY on both sides but in the rows `handshake_usual`.",
        "",
        "Rows of the device are of the firmware PICO_SECURE on an emulated Pico, with RSA 2048 and TLS 1.2.",
        "Their times are emulated, cycles of the chip.",
        "",
        "`pbes2` is measured on this machine. An ESP32 at 240 MHz needs an estimated 150 to 270 µs a round,",
        "so 1.5 to 3 s for 10,000: two SHA-256 calls of 40 to 80 µs each, as published for it, and the",
        "interpreter's share of `stock32`, scaled by MicroPython's own benchmarks of both.",
        "",
        "| row | what | value | rival | rival's value | ratio | limit |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows.rows:
        cells = (
            f"`{row['name']}`",
            row["text"],
            number(row, "value"),
            row.get("rival", ""),
            number(row, "rival_value"),
            ratio(row),
            row.get("limit", ""),
        )
        lines.append("| " + " | ".join(cells) + " |")
    (ROOT / "docs" / "benchmarks.md").write_text("\n".join(lines) + "\n")


def main():
    rows = Rows()
    pki = Pki()
    with tempfile.TemporaryDirectory() as folder:
        roots = pem.decode(Path(certifi.where()).read_bytes())
        sides = []
        servers = []
        try:
            for kind, chain, root in (("ec", pki.ec, pki.root), ("rsa", pki.rsa, pki.rsa_root)):
                server = OpensslServer(folder, chain, "-tls1_2")
                servers.append(server)
                root_path = Path(folder) / f"{kind}.der"
                root_path.write_bytes(root.der)
                store_path = Path(folder) / f"{kind}.bin"
                store_path.write_bytes(anchors.build([*roots, root.der], BUILD_TIME_S))
                sides.append((kind, server, root_path, store_path))
            handshakes(rows, sides)
            heaps(rows, sides)
            budgets(rows, folder, pki)
            traces(rows, folder, pki, sides[0][3])
            serving(rows, folder, pki)
            datagrams(rows, folder, pki)
            lookups(rows, sides[0][3])
            stores(rows, folder)
            derivations(rows)
            sizes(rows, folder)
            _, server, root_path, store_path = sides[-1]
            device(rows, BARE, server.port, root_path.read_bytes(), store_path.read_bytes())
        finally:
            for server in servers:
                server.stop()
    target = ROOT / "build" / "bench.json"
    target.write_text(json.dumps(rows.rows, indent=1) + "\n")
    document(rows)
    show(rows)


if __name__ == "__main__":
    main()
