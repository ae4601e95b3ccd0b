"""Look-ups per second in a store, and bytes that one allocates: lookup.py STORE."""

import gc
import json
import sys
from time import ticks_diff, ticks_us

from certstore.certificate import Certificate
from certstore.store import CertStore
from certstore.subjects import subject_hash

with open(sys.argv[1], "rb") as file:
    store = CertStore(file.read())
skis = [store.ski(number) for number in range(len(store))]
hashes = [subject_hash(Certificate(store.certificate(number)).subject) for number in range(len(store))]


def all_of_them():
    for ski in skis:
        store.find(ski)
    for wanted in hashes:
        store.find_subject(wanted)


all_of_them()
gc.collect()
gc.disable()
before = gc.mem_alloc()
all_of_them()
allocated = gc.mem_alloc() - before
gc.enable()
rounds = 20
start = ticks_us()
for _ in range(rounds):
    for ski in skis:
        store.find(ski)
spent = ticks_diff(ticks_us(), start)
rate = rounds * len(skis) * 1000000 / spent
print(json.dumps({"rate": rate, "allocated": allocated / (2 * len(skis))}))
