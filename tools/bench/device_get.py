"""Verified HTTPS GETs on a Pico, one a window: SIDE ("ours", "bare"), PORT, ROOT, COLLECT are given in front.

With COLLECT the collector runs after each KB, so that the heap in use is what is needed, not what was used
and not collected yet; it costs time, so windows without it come first. Prints the free heap at the end.
"""

# ruff: noqa: F821 (what the emulator puts in front)

import gc

import sides

import securesocket.socket  # noqa: F401

connect = sides.ours(PORT, "/rom/roots.bin") if SIDE == "ours" else sides.bare(PORT, ROOT)


def get():
    stream = connect()
    stream.write(b"GET / HTTP/1.0\r\n\r\n")
    while stream.read(512):
        pass
    stream.close()


def measured():
    gc.collect()
    gc.collect()
    MARK.on()
    get()
    MARK.off()


measured()
measured()
gc.threshold(COLLECT)
measured()
gc.collect()
gc.collect()
print(gc.mem_free())
