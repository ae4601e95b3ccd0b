"""Rows of datagrams: DTLS echoes a second. Servers and client are datagram.py, on MicroPython."""

import contextlib
import json
import socket
import statistics
import subprocess
from pathlib import Path

from plugins.interpreters import command
from plugins.peers import HOST

SCRIPT = Path(__file__).resolve().parent / "datagram.py"
BARE = "tls, the same loop on sockets of its own"
# As much as a board may have.
HEAP = "512k"
ROUNDS, EACH = 40, 100
SIZES = (64, 1024)


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        return sock.getsockname()[1]


def datagrams(rows, folder, pki):
    home = Path(folder) / "datagrams"
    home.mkdir(exist_ok=True)
    for name, data in (
        ("leaf", pki.ec[0].der),
        ("above", pki.ec[1].der),
        ("root", pki.root.der),
        ("key", pki.ec[0].private("traditional", "der")),
    ):
        (home / f"{name}.der").write_bytes(data)
    for size in SIZES:
        found = echoes(home, size)
        ours, theirs = (EACH * 1e6 / statistics.median(side) for side in zip(*found, strict=True))
        ratio = statistics.median(pair[1] / pair[0] for pair in found)
        name = "dtls_echo" if size == SIZES[-1] else f"dtls_echo_{size}"
        text = f"DTLS echoes of {size} bytes, client and server"
        rows.add(name, ours, "1/s", text, BARE, theirs, ratio, limit="0.9")


def echoes(home, size):
    """[[µs with securesocket, µs with tls], …] of EACH echoes."""
    ports = free_udp_port(), free_udp_port()
    with contextlib.ExitStack() as running:
        for side, port in zip(("ours", "bare"), ports, strict=True):
            words, env = command("stock", SCRIPT, side, str(home), str(port), heapsize=HEAP)
            server = running.enter_context(
                subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True)
            )
            running.callback(server.kill)
            assert server.stdout.readline() == "READY\n"
        words, env = command(
            "stock",
            SCRIPT,
            "rate",
            str(home),
            *map(str, ports),
            str(ROUNDS),
            str(EACH),
            str(size),
            heapsize=HEAP,
        )
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise SystemExit(f"datagram.py failed:\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)
