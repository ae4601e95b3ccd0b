"""The builds are what the other tests take them for."""

import pytest

from plugins.interpreters import ROOT

MODULES = sorted(
    ".".join(part for part in path.relative_to(ROOT / "lib").with_suffix("").parts[1:] if part != "__init__")
    for path in (ROOT / "lib").glob("*/*/**/*.py")
)


def test_build_is_the_one_asked_for(target, build):
    script = """
import json, struct, sys, tls
print("RESULT", json.dumps([sys.implementation[1][:2], struct.calcsize("P"), tls.MBEDTLS_VERSION]))
"""
    version, pointer, mbedtls = target.run(script, build=build).result
    assert version >= [1, 25]
    assert build != "stock-1.25" or version == [1, 25]
    assert pointer == (4 if build == "stock32" else 8)
    assert " 3.6." in mbedtls


@pytest.mark.parametrize("module", ["securesocket_roots", "asyncio", *MODULES])
def test_module_is_frozen(target, build, module):
    """Nothing but the binary: no folder with modules is in sys.path."""
    run = target.run(
        f"import sys\nassert sys.path[1:] == ['.frozen'], sys.path\nimport {module}", build=build
    )
    assert run.returncode == 0, run


def test_absent_module_is_not_frozen(target, build):
    run = target.run("import securesocket_absent", build=build)
    assert run.returncode == 1 and "no module named" in run.stderr


HEAP = """
import gc, io, json, tls

class Stream(io.IOBase):
    def readinto(self, buffer): return None
    def write(self, data): return len(data)
    def ioctl(self, request, argument): return 0

def cost():
    before = gc.mem_alloc()
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_NONE
    stream = context.wrap_socket(Stream(), do_handshake_on_connect=False)
    return gc.mem_alloc() - before

cost()  # the first makes mbedTLS's tables
gc.collect()
before = gc.mem_alloc()
grown = cost()
gc.collect()
gc.collect()
print("RESULT", json.dumps([grown, gc.mem_alloc() - before]))
"""


def test_heap_tells_the_truth(target, build):
    """mbedTLS's memory is MicroPython's, and what a socket held comes back when it is collected."""
    grown, left = target.run(HEAP, build=build).result
    assert grown > 20_000
    assert left < 500


def test_too_small_a_heap_is_felt(target, build):
    run = target.run(HEAP, build=build, heapsize="24k")
    assert run.returncode == 1 and ("ENOMEM" in run.stderr or "MemoryError" in run.stderr), run


def test_romfs_is_there(target, build):
    assert target.run("import vfs; vfs.VfsRom", build=build).returncode == 0
