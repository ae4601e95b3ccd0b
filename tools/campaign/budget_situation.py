"""One situation of the campaign `budget`: what the budget said, and what happened.

budget_situation.py PORT STORE SEED KEY_BYTES CHAIN_BYTES near|far: a heap in random fragments (SEED), a host
of which the budget knows what it showed last time (nothing with KEY_BYTES 0); `near`: filled to where the
budget's verdict turns, and up to 3 KB less or more. Prints a JSON object.
"""

import gc
import json
import sys

import certstore.mozilla  # noqa: F401  (what the first failure would load is loaded)
import securesocket.budget as budget
import securesocket.verdict
import securesocket.wording  # noqa: F401
from certstore.store import CertStore
from securesocket import SecureContext, SecureSocket
from securesocket.errors import SecureSocketError

NEAR_BYTES = 3072
SPARE_BYTES = 4096
PIECES = 600
# Of those that fill a heap up to the limit.
LARGEST = (1000, 200, 16)
# A heap in fragments too small has no limit to fill it to: then others are tried.
TRIES = 8
# Codes that say no before anything is sent.
NO = ("memory-budget", "memory", "MemoryError")

port, seed = int(sys.argv[1]), int(sys.argv[3])
near = sys.argv[6] == "near"
with open(sys.argv[2], "rb") as file:
    store = CertStore(file.read())
checked = SecureContext(trust=store)
unchecked = SecureContext(trust=store, budget=None)
budget.learn("localhost", int(sys.argv[4]), int(sys.argv[5]))


def random(below):
    """Knuth's MMIX generator in 31 bits: the same on every build."""
    global seed
    seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
    return (seed >> 8) % below


def fragment():
    """Random pieces, and every so many of them given back."""
    largest = (64, 300, 1000, 3000, 6000)[random(5)]
    kept = random(7)
    room = gc.mem_free() * random(80) // 100
    count = 0
    while count < PIECES and room > 0:
        size = 1 + random(largest)
        try:
            pieces[count] = bytearray(size)
        except MemoryError:
            break
        room -= size + 16
        count += 1
    for at in range(count):
        if random(8) >= kept:
            pieces[at] = None
    gc.collect()


def at_limit():
    """Fill with random pieces until the budget's verdict turns, then take or give back up to 3 KB. False: it
    is no from the beginning."""
    at = PIECES
    for largest in LARGEST:
        while budget.carries(key, chain, 0):
            if at == len(pieces):
                return False
            pieces[at] = bytearray(1 + random(largest))
            at += 1
        if at == PIECES:
            return False
        at -= 1
        pieces[at] = None
        gc.collect()
    # Here it fits, and would not with one of the smallest more.
    distance = random(NEAR_BYTES)
    if random(2):
        for _ in range(len(pieces)):
            given = PIECES + random(at - PIECES)
            if distance > 0 and pieces[given] is not None:
                distance -= len(pieces[given]) + 16
                pieces[given] = None
    else:
        while distance > 0 and at < len(pieces):
            try:
                pieces[at] = bytearray(1 + random(min(distance, LARGEST[0])))
            except MemoryError:
                break
            distance -= len(pieces[at]) + 16
            at += 1
    gc.collect()
    return True


def attempt(context):
    """None if the connection was verified, else the code of its error."""
    try:
        SecureSocket("localhost", port, context).close()
    except SecureSocketError as error:
        return error.code
    except MemoryError:
        return "MemoryError"
    finally:
        gc.collect()


# All that is needed later, names as well: the heap may have no room for them.
pieces = [None] * (PIECES + 500)
result = [None] * 5
free, first, after, alone, spare = range(5)
taken = at = verdict = code = None
random(8)
key, chain = budget._expected(checked, "localhost")
needed = budget._total(budget.table_row(), key, chain)[1]
budget.heap()
gc.collect()
fragment()
if near:
    for _ in range(TRIES):
        if at_limit():
            break
        for at in range(len(pieces)):
            pieces[at] = None
        gc.collect()
        fragment()
    else:
        near = False
gc.collect()
result[free] = gc.mem_free()
result[first] = attempt(checked)
if result[first] in NO:
    result[after] = gc.mem_free()
    result[alone] = attempt(unchecked)
    if result[alone] is None:
        # It would have worked: with that much less?
        try:
            taken = bytearray(SPARE_BYTES)
            result[spare] = attempt(unchecked) is None
        except MemoryError:
            pass
taken = None
for at in range(len(pieces)):
    pieces[at] = None
gc.collect()
verdict = result[first] not in NO
code = result[first] if verdict else result[alone]
print(
    json.dumps(
        {"needed": needed, "free": result[free], "after": result[after], "first": result[first], "code": code,
         "verdict": verdict, "worked": code is None, "spare": result[spare],
         "near": near}
    )
)  # fmt: skip
