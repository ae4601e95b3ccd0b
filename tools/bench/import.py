"""Heap that importing costs: import.py context | all."""

import gc
import json
import sys

gc.collect()
gc.collect()
before = gc.mem_alloc()
import securesocket  # noqa: E402

context = securesocket.SecureContext()
if sys.argv[1] == "all":
    securesocket.SecureSocket  # noqa: B018  (loads it)
    context.check("localhost")
gc.collect()
gc.collect()
print(json.dumps(gc.mem_alloc() - before))
