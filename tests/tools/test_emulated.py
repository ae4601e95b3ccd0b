"""What only the device can tell, asked of the emulated Pico: where the store lies, the heap."""

import json
import os
import subprocess
import sys
import zlib

import pytest

from emulator.client import board
from emulator.image import BLOCK_BYTES, FLASH_START
from plugins.interpreters import ROOT
from plugins.peers import OpensslServer
from plugins.pki import Pki

pytestmark = pytest.mark.xdist_group("emulator")

STORE = ROOT / "build" / "store" / "roots.bin"


def told(pico, script, **params):
    """The JSON of what a script prints."""
    done = pico.run(script, params=params)
    assert done["status"] == 0, done
    return json.loads(done["stdout"])


# Where the store's first and last byte lie, and a record as it is looked up; heap that an open store takes.
ADDRESSES = """
import gc, json, uctypes
from certstore.store import CertStore

if FROZEN:
    from securesocket_roots import DATA
else:
    DATA = memoryview(open("/rom/roots.bin", "rb"))
gc.collect()
before = gc.mem_alloc()
store = CertStore(DATA if FROZEN else "/rom/roots.bin")
gc.collect()
held = gc.mem_alloc() - before
at = uctypes.addressof(DATA)
records = [uctypes.addressof(store.record(number)) for number in range(len(store))]
import binascii
print(json.dumps([at, len(DATA), binascii.crc32(DATA), min(records), max(records), len(store), held]))
"""


def check_in_place(found, start, size):
    """All of it lies in `size` bytes from `start` on, none of it on the heap; and it is the store."""
    at, length, checksum, first, last, count, held = found
    data = STORE.read_bytes()
    assert (length, checksum) == (len(data), zlib.crc32(data))
    assert start <= at and at + length <= start + size
    assert at < first < last < at + length
    assert count > 100 and held < 1000
    return at


def test_frozen_store_is_read_where_it_lies_in_the_image(pico):
    facts = board()
    size = facts["romfs_offset"]
    at = check_in_place(told(pico, ADDRESSES, FROZEN=True), FLASH_START, size)
    # The image has it at that very address.
    uf2 = (ROOT / "build" / "firmware" / "PICO_SECURE" / "firmware.uf2").read_bytes()
    flash = bytearray(size)
    for block in range(0, len(uf2), BLOCK_BYTES):
        address, count = (int.from_bytes(uf2[block + i : block + i + 4], "little") for i in (12, 16))
        flash[address - FLASH_START : address - FLASH_START + count] = uf2[block + 32 : block + 32 + count]
    data = STORE.read_bytes()
    assert flash[at - FLASH_START : at - FLASH_START + len(data)] == data


def test_store_in_romfs_is_read_where_it_lies_in_flash(pico, romfs):
    facts = board()
    start = FLASH_START + facts["romfs_offset"]
    at = check_in_place(told(pico, ADDRESSES, FROZEN=False), start, facts["romfs_bytes"])
    data = STORE.read_bytes()
    assert romfs.read_bytes()[at - start : at - start + len(data)] == data


FREE_HEAP = "import gc, json\ngc.collect()\nprint(json.dumps([gc.mem_free(), gc.mem_alloc()]))"


def test_heap_after_boot_is_most_of_the_chip_s_memory(pico):
    """With the network up and nothing of ours loaded."""
    free, used = told(pico, FREE_HEAP)
    assert free > 195_000
    assert 210_000 < free + used < 230_000


def test_random_source_is_constant(pico):
    """Why accept_weak_entropy() exists: each start of the emulated chip gives the same bytes."""
    script = "import os, json\nprint(json.dumps(list(os.urandom(16))))"
    first = told(pico, script)
    assert len(set(first)) == 1
    assert told(pico, script) == first


CONNECT = """
import gc, json
from securesocket import SecureSocket

gc.collect()
ballast = []
while gc.mem_free() > FREE + 4096:
    ballast.append(bytearray(2048))
gc.collect()
try:
    SecureSocket("localhost", PORT, {"trust": TRUST}).close()
    said = "connected"
except OSError as error:
    said = [type(error).__name__, error.found]
ballast = None
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def https(tmp_path_factory):
    """A server of `openssl s_server -www` with an RSA chain, which is the cheaper one for the client."""
    pki = Pki()
    server = OpensslServer(tmp_path_factory.mktemp("https"), pki.rsa, "-tls1_2")
    yield {"PORT": server.port, "TRUST": pki.rsa_root.der}
    server.stop()


def test_too_small_a_heap_is_told_as_that(pico, https):
    kind, found = told(pico, CONNECT, FREE=20_000, **https)
    assert kind == "MemoryBudgetError", found


def test_sample_of_the_target_s_tests_passes():
    """tests/target/ on a Pico of its own: `make test TARGET=emulator` runs all of them."""
    words = ["-m", "pytest", "-n", "0", "-q", "--target", "emulator", "--sample", "tests/target"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-10_000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout
