"""Whether the budget tells the truth: `make campaign NAME=budget`.

Situations with fixed seeds on the 32-bit build, each a process of its own: a heap of 24 to 128 KB in random
fragments, RSA or EC, a path of two to four certificates. Half of them are filled up to where the budget's
verdict turns, and up to 3 KB less or more. A no is checked by trying without the budget. SITUATIONS=n draws
so many; HOSTS=known leaves out those in which the host was not seen before.
"""

import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "lib" / "certstore"), str(ROOT / "tests"), str(ROOT / "tools")]

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from certstore import anchors  # noqa: E402
from plugins.peers import OpensslServer  # noqa: E402
from plugins.pki import make  # noqa: E402

SITUATION = Path(__file__).resolve().with_name("budget_situation.py")
LEARN = Path(__file__).resolve().with_name("budget_learn.py")
PROGRAM = ROOT / "build" / "unix" / "stock32" / "micropython"
SITUATIONS = 4000
BUILD_TIME_S = 86400
# Beyond what modules and this script hold.
HEAP_KB = (24, 128)
LOADED_KB = 32
KINDS = ("ec", "rsa2048")
LENGTHS = (2, 3, 4)
# 95 %, one-sided.
CONFIDENCE = 0.05
TIMEOUT_S = 120


class Peers:
    """A server for each kind of key and length of path, with what a device learns of it."""

    def __init__(self, folder):
        self.known = []
        self._servers = []
        for kind in KINDS:
            for length in LENGTHS:
                self._add(Path(folder) / f"{kind}-{length}", kind, length)

    def _add(self, folder, kind, length):
        folder.mkdir()
        member = make("A Root of the Campaign", key=kind, ca=True)
        root = member
        for number in range(length - 2):
            member = make(f"Intermediate {number}", member, key=kind, ca=True)
        chain = [one for one in make("localhost", member, key=kind).upwards() if one is not root]
        server = OpensslServer(folder, chain, "-tls1_2")
        self._servers.append(server)
        store = folder / "store.bin"
        store.write_bytes(anchors.build([root.der], BUILD_TIME_S))
        learnt = run(LEARN, "1M", server.port, store)
        self.known.append((kind, length, server.port, store, learnt))

    def stop(self):
        for server in self._servers:
            server.stop()


def run(script, heap, *words):
    done = subprocess.run(
        [PROGRAM, "-X", f"heapsize={heap}", script, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if done.returncode:
        raise RuntimeError(f"{script.name} {words} with {heap}:\n{done.stdout[-500:]}{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def situation(peers, seed, known):
    """What one seed gives. The heap and the peer follow from the seed."""
    kind, length, port, store, learnt = peers.known[seed % len(peers.known)]
    low, high = HEAP_KB
    # Near the limit a heap has to hold more than is needed: the fragments are made of the rest.
    near = (seed // len(peers.known)) % 2 == 0
    if near:
        low = 64
    kb = low + seed * 7919 % (high - low + 1)
    words = (
        port,
        store,
        seed * 2654435761 % 2**31,
        *(learnt if known else (0, 0)),
        "near" if near else "far",
    )
    return run(SITUATION, f"{kb + LOADED_KB}k", *words) | {
        "seed": seed,
        "kind": kind,
        "length": length,
        "kb": kb,
    }


def lower_bound(right, of):
    """The lower bound of a share, Clopper and Pearson, one-sided 95 %."""
    if right == 0:
        return 0.0
    low, high = 0.0, right / of
    for _ in range(60):
        middle = (low + high) / 2
        if at_least(right, of, middle) < CONFIDENCE:
            low = middle
        else:
            high = middle
    return low


def at_least(right, of, share):
    """The chance of `right` or more successes of `of`."""
    from math import exp, lgamma, log

    if share <= 0:
        return 0.0
    total = 0.0
    for k in range(right, of + 1):
        total += exp(
            lgamma(of + 1)
            - lgamma(k + 1)
            - lgamma(of - k + 1)
            + k * log(share)
            + (of - k) * log(max(1 - share, 1e-300))
        )
    return total


def campaign(count, known=True, first=0, progress=None):
    """The results of `count` situations."""
    with tempfile.TemporaryDirectory() as folder:
        peers = Peers(folder)
        try:
            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                found = []
                for result in pool.map(
                    lambda seed: situation(peers, seed, known), range(first, first + count)
                ):
                    found.append(result)
                    if progress and len(found) % 200 == 0:
                        progress(len(found))
                return found
        finally:
            peers.stop()


def figures(found):
    """{name: value} of what the results come to."""
    yes = [one for one in found if one["verdict"]]
    no = [one for one in found if not one["verdict"]]
    yes_right = [one for one in yes if one["worked"]]
    no_right = [one for one in no if not one["worked"]]
    return {
        "n": len(found),
        "near": sum(one["near"] for one in found),
        "yes": len(yes),
        "yes_right": len(yes_right),
        "yes_bound": lower_bound(len(yes_right), len(yes)) if yes else 0.0,
        "no": len(no),
        "no_right": len(no_right),
        "no_bound": lower_bound(len(no_right), len(no)) if no else 0.0,
        "no_near": sum(bool(one["spare"]) for one in no),
        "untyped": sorted(
            {one["code"] for one in found if one["code"] and not one["code"].startswith("memory")}
        ),
        "lost": sum((one["after"] or one["free"]) < one["free"] - 64 for one in found),
    }


def main():
    count = int(os.environ.get("SITUATIONS", SITUATIONS))
    console = Console()
    worst = []
    table = Table(
        "host",
        "situations",
        "yes",
        "right, 95 %",
        "no",
        "right, 95 %",
        "no with 4 KB to spare",
        "other errors",
    )
    for known in (True, False) if os.environ.get("HOSTS") != "known" else (True,):
        found = campaign(count, known, progress=lambda done: print(f"{done} of {count}", flush=True))
        row = figures(found)
        table.add_row(
            "known" if known else "not seen before",
            f"{row['n']}, {row['near']} near",
            f"{row['yes']} ({row['yes'] / row['n']:.0%})",
            f"{row['yes_right']}, {row['yes_bound']:.2%}",
            f"{row['no']} ({row['no'] / row['n']:.0%})",
            f"{row['no_right']}, {row['no_bound']:.2%}",
            str(row["no_near"]),
            ", ".join(row["untyped"]) or "none",
        )
        worst += [one for one in found if one["verdict"] and not one["worked"]]
        (ROOT / "build" / f"budget_{'known' if known else 'unknown'}.json").write_text(json.dumps(found))
    console.print(table)
    for one in worst[:20]:
        print(one)
    # And every size of heap, with up to eight sessions at once: a sample of it is in `make test`.
    words = [sys.executable, "-m", "pytest", "-q", "tests/target/test_budget.py", "-k", "every_size"]
    sys.exit(subprocess.run(words, cwd=ROOT, env=os.environ | {"SIZES": "all"}).returncode)


if __name__ == "__main__":
    main()
