"""Rows of the device, measured on the emulated Pico: heap and time of a verified GET, size of the firmware.

Both sides connect to the same server over PPP, in one run of one Pico, each after a reset; the store is
Mozilla's whole set and the test's root, in ROMFS, read in place. Times are emulated.
"""

import json
import tempfile
from pathlib import Path

from emulator import files
from emulator.client import FIRMWARE, Emulator, measure

SCRIPTS = Path(__file__).resolve().parent
TIMEOUT_MS = 60_000
COLLECT_BYTES = 1024
# Limits that the project has set itself.
HEAP_ABOVE_BYTES = 2048
TIME_RATIO = 1.1
FLASH_BYTES = 704_000
FREE_BYTES = 185_000


def device(rows, bare, port, root, store):
    """Add the rows. `port` is of an HTTPS server on loopback, `root` its root's DER, `store` (bytes) one of
    all roots."""
    with tempfile.NamedTemporaryFile() as romfs:
        romfs.write(files.romfs({"roots.bin": store}))
        romfs.flush()
        with Emulator(romfs=romfs.name) as pico:
            pico.install("sides", (SCRIPTS / "sides.py").read_text())
            found = {side: _measured(pico, side, port, root) for side in ("bare", "ours")}
    (first, again, heap, free), (bare_first, bare_again, bare_heap, _) = found["ours"], found["bare"]
    where = "emulated Pico, over PPP"
    for name, text, mine, theirs in (
        ("device_get_time", "first verified GET to a host", first, bare_first),
        ("device_get_time_again", "further verified GET", again, bare_again),
    ):
        ms = [window["emulated_ms"] for window in (mine, theirs)]
        rows.add(name, ms[0], "ms", f"{text}, {where}", bare, ms[1], limit=f"ratio ≤ {TIME_RATIO}")
    peaks = [window["heap_peak_bytes"] - window["heap_before_bytes"] for window in (heap, bare_heap)]
    rows.add("device_get_heap", peaks[0], "bytes", f"heap peak of a verified GET, {where}", bare, peaks[1],
             limit=f"≤ {peaks[1] + HEAP_ABOVE_BYTES:,}")  # fmt: skip
    text = f"free after it, closed and collected, {where}"
    rows.add("firmware_free_heap", free, "bytes", text, limit=f"≥ {FREE_BYTES:,}")
    flash = json.loads((FIRMWARE / "sizes.json").read_text())["flash_bytes"]
    rows.add("firmware_flash", flash, "bytes", f"flash of {FIRMWARE.name}", limit=f"≤ {FLASH_BYTES:,}")


def _measured(pico, side, port, root):
    """(first window, further one, one with the heap kept collected, free heap at the end) of a side."""
    params = {"SIDE": side, "PORT": port, "ROOT": root, "COLLECT": COLLECT_BYTES}
    done = measure(pico, (SCRIPTS / "device_get.py").read_text(), params, TIMEOUT_MS)
    return (*done["windows"], int(done["stdout"]))
