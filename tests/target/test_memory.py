"""Too little heap: a verified connection or MemoryBudgetError, and nothing between."""

import pytest

from plugins.pki import DAY, NOW

# A bare script: what the driver holds would be in the way. Heap is taken until FREE bytes are left.
SCRIPT = """
import gc, json
from securesocket import SecureContext, SecureSocket
import securesocket.errors, securesocket.verdict, securesocket.report

context = SecureContext(trust=TRUST)
context.trust
outcome = None
ballast = []
gc.collect()
while gc.mem_free() > FREE + 1024:
    ballast.append(bytearray(min(4096, gc.mem_free() - FREE - 512)))
gc.collect()
try:
    stream = SecureSocket("127.0.0.1", PORT, context)
    outcome = ["verified" if stream.authorized else "open", None]
    stream.write(b"ping\\n")
    if stream.readline() != b"ping\\n":
        outcome = ["broken", None]
    stream = None
except Exception as error:
    outcome = [type(error).__name__, getattr(error, "code", None)]
    error = None
ballast = None
gc.collect()
print("RESULT", json.dumps(outcome))
"""


def outcomes(target, build, port, trust, sizes):
    found = {}
    for free in sizes:
        run = target.run(
            SCRIPT, build=build, heapsize="150k", params={"PORT": port, "TRUST": trust, "FREE": free}
        )
        assert run.returncode == 0 and run.stderr == "", (free, run)
        found[free] = run.result
    return found


# what, chain, trust
CHAINS = (
    ("EC", lambda p: (p.ec, p.root)),
    ("RSA", lambda p: (p.rsa, p.rsa_root)),
)


@pytest.mark.parametrize(("what", "made"), CHAINS, ids=[row[0] for row in CHAINS])
def test_small_heap_verifies_or_says_that_it_is_small(target, pki, servers, what, made):
    """30 KB to 60 KB free in steps of 2 KB; both ends of it are reached."""
    chain, trust = made(pki)
    found = outcomes(target, "stock32", servers.python(chain), trust.der, range(24_000, 60_000, 1500))
    for free, (kind, code) in found.items():
        assert kind in ("verified", "MemoryBudgetError"), (free, kind, code, found)
    assert found[24_000][0] == "MemoryBudgetError"
    assert found[58_500][0] == "verified"


# what, chain, the error with memory enough
BAD = (
    ("unknown issuer", lambda p: p.foreign, "UnknownIssuer"),
    ("expired", lambda p: p.chain(not_after=NOW - DAY), "Expired"),
)


@pytest.mark.parametrize(("what", "made", "error"), BAD, ids=[row[0] for row in BAD])
def test_small_heap_accepts_nothing_that_a_large_one_refuses(target, pki, servers, what, made, error):
    found = outcomes(target, "stock32", servers.python(made(pki)), pki.root.der, range(24_000, 60_000, 3000))
    for free, (kind, code) in found.items():
        assert kind in (error, "MemoryBudgetError"), (free, kind, code, found)
    assert found[57_000][0] == error
