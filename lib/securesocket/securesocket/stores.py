"""The store on this device: what trust= means when it is not given, and where identities are looked for.

base: a file that was put here, else the store that is frozen into the firmware, else one in ROMFS.
changes: what this device has added and removed, in a file of its own, above whichever base there is.
"""

import sys

from certstore.blob import is_file, is_store
from certstore.errors import part
from certstore.store import CertStore

STORE_FILES = ("roots.bin", "/roots.bin", "/lib/roots.bin")
STORE_MODULE = "securesocket_roots"
ROM_FILE = "/rom/roots.bin"
CHANGES = "roots-changes.bin"

# The base alone, until there are changes: what reads and makes them costs RAM.
_store = None


def default_store():
    """The certstore.layers.LayeredStore of this device; opened once, since it is read in place. Raises
    ConfigurationError "no-store", StoreError."""
    global _store
    if not hasattr(trusted(), "changes"):
        _store = _layered(_store)
    return _store


def trusted():
    """What is trusted on this device now: default_store(), or its base while nothing was changed."""
    global _store
    if _store is None:
        base = _base()
        _store = _layered(base) if is_store(_folder(base) + CHANGES) else base
    return _store


def _layered(base):
    folder = _folder(base)
    return part("certstore.layers", "certstore-edit").LayeredStore(
        base, folder + CHANGES, folder + STORE_FILES[0]
    )


def _base():
    # A damaged file is an error, and no reason to trust another store.
    for path in STORE_FILES:
        if is_store(path):
            return CertStore(path)
    try:
        return CertStore(__import__(STORE_MODULE).DATA)
    except ImportError as error:
        if STORE_MODULE not in str(error):
            raise
    if is_file(ROM_FILE):
        return CertStore(ROM_FILE)
    from .errors import ConfigurationError

    raise ConfigurationError(
        "no-store", found="no file %s, no module %s" % (", ".join(STORE_FILES), STORE_MODULE)
    )


def _folder(base):
    # Of the changes: beside a base that is a file, else at the root of the file system, whatever the working
    # directory is. Only the ports for computers have no file system of their own.
    if base.path is not None and base.path != ROM_FILE:
        return base.path[: base.path.rfind("/") + 1]
    if sys.platform in ("linux", "darwin"):
        return ""
    return "/flash/" if is_file("/flash") else "/"
