"""Rounds of the key derivation of encrypted keys in a second: pbes2.py [ROUNDS]."""

import json
import sys
from time import ticks_diff, ticks_us

from certstore import pbes2

rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
start = ticks_us()
pbes2.derive(b"correct horse battery staple", b"0123456789abcdef", rounds, 32)
print(json.dumps({"rounds_per_second": rounds * 1000000 / ticks_diff(ticks_us(), start)}))
