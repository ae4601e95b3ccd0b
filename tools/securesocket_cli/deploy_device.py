"""The board's part of `securesocket deploy`: programs that mpremote runs there, and the names that they use.

A deployment is staged in one folder beside what is there, and one rename makes it count:

    /securesocket.new/packages/certstore/certstore/...   each new package, alone in a folder
    /securesocket.new/store/roots.bin                    a store, if one goes with them
    /securesocket.new/names                              of the packages; renamed to `ready` when the new
    ones count
    /certstore.py ...                                    while both are there, a redirection for each package

A program's import looks in the working directory before it looks in /lib, so a redirection is found first. It
loads its package from the staged folder if `ready` exists and the package is still there, else from /lib. So
all packages change with the one rename, and littlefs does a rename whole or not at all.

Each is alone in its folder since a rename from one folder to another is two steps. A littlefs that is started
between them does so correctly as to the one that moves, but MicroPython 1.26's does not find those behind it.
"""

from certstore.layout import JOURNAL

STAGE = "/securesocket.new"
LIBRARY = "/lib"
STORE = "/roots.bin"
STORE_MODULE = "securesocket_roots"
ROM_STORE = "/rom/roots.bin"

_REDIRECTION = f"""\
# Left by `securesocket deploy`, which was cut off: run it again.
import os, sys
path = sys.path[:]
sys.path[:] = [p for p in path if p not in ("", "/")]
try:
    os.stat("{STAGE}/ready")
    os.stat("{STAGE}/packages/" + __name__ + "/" + __name__)
    sys.path.insert(0, "{STAGE}/packages/" + __name__)
except OSError as error:
    if error.errno != 2:
        raise
del sys.modules[__name__]
try:
    module = __import__(__name__)
finally:
    sys.path[:] = path
globals().update(module.__dict__)
"""

_COMMON = f"""\
import os, sys
stage = {STAGE!r}
def kind(path):
    try:
        return os.stat(path)[0] & 0xc000
    except OSError as error:
        if error.errno != 2:
            raise
        return 0
def remove(path):
    if kind(path) == 0x4000:
        for entry in list(os.ilistdir(path)):
            remove(path + "/" + entry[0])
        os.rmdir(path)
    elif kind(path):
        os.remove(path)
def read(path):
    with open(path) as file:
        return file.read()
def names():
    for path in (stage + "/ready", stage + "/names"):
        if kind(path):
            return read(path).split()
    return []
"""

# Finishes what counts already, and forgets what does not; whatever was cut off, and wherever.
SETTLE = (
    _COMMON
    + f"""\
def settle():
    if kind(stage + "/ready"):
        if not kind({LIBRARY!r}):
            os.mkdir({LIBRARY!r})
        for name in names():
            package = stage + "/packages/" + name + "/" + name
            if kind(package):
                remove({LIBRARY!r} + "/" + name)
                os.rename(package, {LIBRARY!r} + "/" + name)
        if kind(stage + "/store/roots.bin"):
            # An update that power was lost in would win over it when the store is next opened.
            remove({STORE + JOURNAL!r})
            os.rename(stage + "/store/roots.bin", {STORE!r})
    for name in names():
        remove("/" + name + ".py.new")
        remove("/" + name + ".py")
    remove(stage + "/ready")
    remove(stage)
"""
)

FORGET = SETTLE + "settle()\n"


def switch(packages):
    """The program that puts the staged packages, and the store with them, in the place of the old ones."""
    return (
        SETTLE
        + f"""\
with open(stage + "/names", "w") as file:
    file.write({" ".join(packages)!r})
for name in names():
    with open("/" + name + ".py.new", "w") as file:
        file.write({_REDIRECTION!r})
    os.rename("/" + name + ".py.new", "/" + name + ".py")
os.rename(stage + "/names", stage + "/ready")
settle()
"""
    )


# The SHA-256 of every staged file, one a line.
HASHES = (
    _COMMON
    + """\
import hashlib, binascii
def show(path):
    for entry in list(os.ilistdir(path)):
        name = path + "/" + entry[0]
        if entry[1] == 0x4000:
            show(name)
            continue
        digest = hashlib.sha256()
        with open(name, "rb") as file:
            while True:
                block = file.read(512)
                if not block:
                    break
                digest.update(block)
        print(binascii.hexlify(digest.digest()).decode(), name[len(stage) + 1:])
show(stage)
"""
)


def facts(packages):
    """The program that prints what the host has to know, as one dict."""
    return (
        _COMMON
        + f"""\
facts = {{"packages": {{}}, "frozen": [], "above": [], "romfs_bytes": None, "store": None}}
facts["machine"] = getattr(sys.implementation, "_machine", sys.platform)
facts["version"] = ".".join(str(part) for part in sys.implementation[1][:3])
facts["mpy"] = getattr(sys.implementation, "_mpy", 0) & 0xff
facts["path"] = sys.path[:]
space = os.statvfs("/")
facts["block_bytes"] = space[1] or space[0]
facts["free_bytes"] = facts["block_bytes"] * space[3]
facts["pending"] = bool(kind(stage))
known = names()
frozen = sys.path[:]
for name in {list(packages)!r}:
    if kind({LIBRARY!r} + "/" + name):
        facts["packages"][name] = {LIBRARY!r}
    if name not in known:
        for path in ("/" + name, "/" + name + ".py", "/" + name + ".mpy"):
            if kind(path):
                facts["above"].append(path)
    if ".frozen" in frozen:
        sys.path[:] = [".frozen"]
        try:
            __import__(name)
            facts["frozen"].append(name)
        except ImportError as error:
            if name not in str(error):
                raise
        finally:
            sys.path[:] = frozen
def head(path):
    with open(path, "rb") as file:
        return file.read(12)
for path in ({STORE!r}, {LIBRARY + STORE!r}, None, {ROM_STORE!r}):
    if path is None:
        try:
            data = __import__({STORE_MODULE!r}).DATA
        except ImportError:
            continue
        facts["store"] = ("the firmware", bytes(data[:12]))
        break
    if kind(path):
        facts["store"] = (path, head(path))
        break
try:
    import vfs
    if vfs.rom_ioctl(1) > 0:
        region = vfs.rom_ioctl(2, 0)
        if hasattr(region, "ioctl"):
            facts["romfs_bytes"] = region.ioctl(4, 0) * region.ioctl(5, 0)
        elif not isinstance(region, int):
            facts["romfs_bytes"] = len(region)
except (ImportError, AttributeError):
    pass
print(facts)
"""
    )


def romfs_digest(size):
    """The program that prints the SHA-256 of the first `size` bytes of the ROMFS region."""
    return f"""\
import binascii, hashlib, vfs
region = memoryview(vfs.rom_ioctl(2, 0))
digest = hashlib.sha256()
for at in range(0, {size}, 4096):
    digest.update(region[at:min(at + 4096, {size})])
print(binascii.hexlify(digest.digest()).decode())
"""


def check(packages):
    """The program that imports the packages, and prints where each came from."""
    lines = (
        f"import {name}\nprint({name!r}, getattr({name}, '__version__', '?'), {name}.__file__)"
        for name in packages
    )
    return "\n".join([*lines, ""])
