"""One byte changed at every position of the Certificate and ServerKeyExchange messages: never accepted.

    make campaign NAME=flip

Live handshakes through a proxy: an EC and an RSA chain, trust in a root (the whole chain counts), in the
leaf itself and in a pin of its key (the leaf and the key exchange count), on `stock` and `stock32`. Each
position is changed in two ways: its lowest bit, and its highest. In front of each hundred an unchanged
handshake must pass. Exit status 1 if anything was accepted, or failed with an error that is not ours.
"""

import collections
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "lib" / "certstore")]

from plugins import peers  # noqa: E402
from plugins.pki import Pki  # noqa: E402
from plugins.target import UnixTarget  # noqa: E402

CHUNK = 100
MASKS = (0x01, 0x80)
LINES = "tell([attempt(port=PORT, secure=SECURE) for _ in range(COUNT)])"
# What a changed byte may end as. MemoryBudgetError is not among them: there is heap enough.
OURS = {
    "HandshakeError", "CertificateError", "UnknownIssuer", "BadSignature", "Expired", "NotYetValid",
    "HostnameMismatch", "WeakKey", "PinMismatch", "FormatError", "UnsupportedFeature",
}  # fmt: skip


def driver():
    return (ROOT / "tests" / "target" / "driver.py").read_text()


def lengths(target, servers, port, secure):
    proxy = servers.start(peers.Proxy, port)
    target.run(f"{driver()}\n{LINES}", params={"PORT": proxy.port, "SECURE": secure, "COUNT": 1})
    return {kind: len(body) for kind, body in peers.messages(proxy.answered[0])}


def run(target, servers, build, port, secure, rows):
    """[(row, error's class and code)] of a chunk of (message, position, mask)."""
    hops = [(port, peers.flight(peers.one_record_each)), *[(port, peers.flipped(*row)) for row in rows]]
    proxy = servers.start(peers.Proxy, *hops)
    params = {"PORT": proxy.port, "SECURE": secure, "COUNT": len(hops)}
    script = f"{driver()}\n{LINES}"
    straight, *changed = target.run(script, build=build, params=params, heapsize="32M", timeout_s=300).result
    proxy.stop()
    if straight.get("reply") != "ping\n":
        raise SystemExit(f"an unchanged handshake failed: {straight}")
    for row, got in zip(rows, changed, strict=True):
        error = got.get("error")
        yield row, (error["class"], error["code"]) if error and "reply" not in got else ("accepted", None)


def main():
    started = time.monotonic()
    pki = Pki()
    target = UnixTarget()
    bad = []
    total = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        servers = peers.Servers(folder)
        campaigns = []
        for build in ("stock", "stock32"):
            for chain, root in ((pki.ec, pki.root), (pki.rsa, pki.rsa_root)):
                port = servers.python(chain)
                whole = {"trust": root.der}
                size = lengths(target, servers, port, whole)
                leaf = 6 + len(chain[0].der)
                for what, secure, end in (
                    ("root", whole, size[peers.CERTIFICATE]),
                    ("exact", {"trust": chain[0].der}, leaf),
                    ("pin", {"trust": None, "pins": chain[0].pin}, leaf),
                ):
                    if chain is pki.rsa and what != "root":
                        continue
                    rows = [
                        (kind, at, mask)
                        for kind, stop in (
                            (peers.CERTIFICATE, end),
                            (peers.SERVER_KEY_EXCHANGE, size[peers.SERVER_KEY_EXCHANGE]),
                        )
                        for at in range(stop)
                        for mask in MASKS
                    ]
                    campaigns.append((build, "EC" if chain is pki.ec else "RSA", what, port, secure, rows))
        for build, kind, what, port, secure, rows in campaigns:
            seen = collections.Counter()
            chunks = [rows[at : at + CHUNK] for at in range(0, len(rows), CHUNK)]
            job = lambda chunk: list(run(target, servers, build, port, secure, chunk))  # noqa: B023, E731
            with ThreadPoolExecutor(2) as workers:
                for found in workers.map(job, chunks):
                    for row, outcome in found:
                        seen[outcome] += 1
                        if outcome[0] not in OURS:
                            bad.append((build, kind, what, row, outcome))
            total += seen
            print(f"{build:8} {kind:3} {what:6} {len(rows):5} changes: " + ", ".join(
                f"{name} {code} {count}" for (name, code), count in seen.most_common()
            ), flush=True)  # fmt: skip
        servers.close()
    target.close()
    print(
        f"{sum(total.values())} changed handshakes in {time.monotonic() - started:.0f} s, "
        f"{len(bad)} not refused as they must"
    )
    for row in bad[:20]:
        print("  ", row)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
