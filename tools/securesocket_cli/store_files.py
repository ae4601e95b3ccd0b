"""Stores on the host: built from entries, written at once or not at all, opened and verified."""

import dataclasses
import os
import pathlib
import stat
import tempfile

from certstore import anchors, names, subjects
from certstore.errors import StoreError
from certstore.store import CertStore

from . import entries as _entries
from .entries import Entry, Holders, Skipped
from .errors import CommandError, about

DEFAULT_STORE = "roots.bin"
_PRIVATE = 0o600
_BYTES_PER_LINE = 32


@dataclasses.dataclass(frozen=True)
class Opened:
    """A verified store: its bytes, its entries in their order, its identities; `name` says which it is.

    removed: [(SKI, subject hash)] of what it hides in a store below it.
    """

    name: str
    blob: bytes
    store: CertStore
    entries: list
    identities: list
    removed: list


def pool(add=(), mozilla=True):
    """(entries, skipped): Mozilla's roots and the files and folders in `add`, each certificate once."""
    found, skipped = _entries.mozilla() if mozilla else ([], [])
    for path in add:
        more, refused = _entries.from_path(path)
        found = found + more
        skipped = skipped + refused
    unique, held = [], Holders()
    for entry in found:
        first = held.equal(entry)
        if first is None:
            unique.append(entry)
            held.add(entry)
        else:
            what = f"{entry.title} of {names.escape(entry.source)}"
            skipped = skipped + [Skipped(what, f"the same as that of {names.escape(first.source)}")]
    return unique, skipped


def make(entries, build_time, identities=(), removed=()):
    """The blob of a store, verified. removed: as of `Opened`."""
    with about("the store"):
        blob = anchors.build([entry.part for entry in entries], build_time, identities, removed)
        CertStore(blob).verify()
    return blob


def open_store(path=None):
    """The store at `path`; without one ./roots.bin, or else Mozilla's roots, built in memory."""
    if path is None and not pathlib.Path(DEFAULT_STORE).exists():
        return _opened(f"{_entries.mozilla_title()}, built in memory", make(_entries.mozilla()[0], 0))
    return read_store(path)


def read_store(path=None):
    """The store at `path`, or ./roots.bin."""
    path = str(path or DEFAULT_STORE)
    with about(path):
        try:
            blob = pathlib.Path(path).read_bytes()
        except FileNotFoundError:
            raise StoreError("store-missing") from None
    return _opened(path, blob)


def _opened(name, blob):
    with about(name):
        opened = CertStore(blob)
        opened.verify()
        found = [
            Entry.of(bytes(opened.certificate(n)), name, opened.ski(n), opened.is_packed(n))
            for n in opened.numbers()
        ]
        identities = [opened.identity(n) for n in range(opened.identity_count)]
        hiding = filter(opened.is_removed, range(len(opened)))
        removed = [(opened.ski(n), opened.entry(n)[:4]) for n in hiding]
    return Opened(name, blob, opened, _entries.beside_mozilla(found), identities, removed)


def rewrite(opened, entries, identities, removed):
    """Put this into the store that was opened, in place of what it had; its build time stays."""
    if not (entries or identities or removed):
        raise CommandError(f"{opened.name}: nothing would be left in it; delete the file instead")
    blob = make(entries, opened.store.build_time, identities, removed)
    write(opened.name, blob)
    return blob


def issuers(opened, certificate):
    """The entries that may have issued a certificate: its issuer's subject, and its AKI if both have one."""
    found = [
        entry
        for entry in opened.entries
        if subjects.same_name(entry.certificate.subject, certificate.issuer) and entry.certificate.may_issue
    ]
    by_key = [entry for entry in found if entry.ski == certificate.aki]
    return by_key or found


def module_source(opened):
    """A module whose DATA is the store: frozen into firmware, it is read from flash."""
    lines = [
        f'"""A store of {len(opened.entries)} certificates, made by `securesocket store frozen`."""',
        "",
        "# fmt: off",
        "DATA = (",
    ]
    for at in range(0, len(opened.blob), _BYTES_PER_LINE):
        lines.append(f"    {opened.blob[at : at + _BYTES_PER_LINE]!r}")
    return "\n".join([*lines, ")", ""])


def write(path, data, private=False):
    """Put bytes into a file at once: whoever reads it sees the old content or all of the new.

    The mode of a file that is there stays. A new one is as the umask says, or, if `private`, its owner's.
    """
    path = pathlib.Path(path)
    with about(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            mode = _PRIVATE if private else 0o666 & ~_umask()
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, mode)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
