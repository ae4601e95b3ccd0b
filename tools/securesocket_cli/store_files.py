"""Stores on the host: built from entries, written at once or not at all, opened and verified."""

import dataclasses
import os
import pathlib
import tempfile

from certstore import anchors, names
from certstore.store import CertStore

from . import entries as _entries
from .entries import Entry, Skipped
from .errors import CommandError, about

DEFAULT_STORE = "roots.bin"
_BYTES_PER_LINE = 32


@dataclasses.dataclass(frozen=True)
class Built:
    """A new store: its bytes, what is in it, and what was left out."""

    blob: bytes
    entries: list
    skipped: list
    build_time: int


@dataclasses.dataclass(frozen=True)
class Opened:
    """A verified store and its entries, by number; `name` says which store it is."""

    name: str
    store: CertStore
    entries: list


def build(add=(), mozilla=True, only=(), build_time=0):
    """A store of Mozilla's roots and the files and folders in `add`, or of those that `only` names."""
    found, skipped = _entries.mozilla() if mozilla else ([], [])
    for path in add:
        more, refused = _entries.from_path(path)
        found = found + more
        skipped = skipped + refused
    found, duplicates = _unique(found)
    skipped = skipped + duplicates
    if only:
        chosen = [entry for query in only for entry in _entries.select(found, query)]
        found = [entry for entry in found if entry in chosen]
    if not found:
        raise CommandError("a store of nothing: give --add FILE, or leave out --no-mozilla")
    with about("the store"):
        blob = anchors.build([entry.der for entry in found], build_time)
        CertStore(blob).verify()
    return Built(blob, found, skipped, build_time)


def _unique(found):
    first, duplicates = {}, []
    for entry in found:
        if entry.der in first:
            what = f"{entry.title} of {names.escape(entry.source)}"
            duplicates.append(Skipped(what, f"the same as that of {names.escape(first[entry.der].source)}"))
        else:
            first[entry.der] = entry
    return list(first.values()), duplicates


def open_store(path=None):
    """The store at `path`; without one ./roots.bin, or else Mozilla's roots, built in memory."""
    if path is None and not pathlib.Path(DEFAULT_STORE).exists():
        name = f"{_entries.mozilla_title()}, built in memory"
        blob = build().blob
    else:
        name = path = str(path or DEFAULT_STORE)
        with about(path):
            blob = pathlib.Path(path).read_bytes()
    with about(name):
        opened = CertStore(blob)
        opened.verify()
        found = [Entry.of(bytes(opened.certificate(n)), name) for n in range(len(opened))]
    return Opened(name, opened, found)


def issuers(opened, certificate):
    """The entries that may have issued a certificate: its issuer's subject, and its AKI if both have one."""
    hash4 = names.subject_hash(certificate.issuer)
    position = opened.store.find_subject(hash4)
    found = []
    while position >= 0 and (number := opened.store.at_subject(position, hash4)) >= 0:
        candidate = opened.entries[number].certificate
        if names.same_name(candidate.subject, certificate.issuer) and candidate.may_issue:
            found.append(opened.entries[number])
        position += 1
    by_key = [entry for entry in found if entry.certificate.ski == certificate.aki]
    return by_key or found


def module_source(built):
    """A module whose DATA is the store: frozen into firmware, it is read from flash."""
    lines = [
        f'"""A store of {len(built.entries)} certificates, made by `securesocket store build`."""',
        "",
        "# fmt: off",
        "DATA = (",
    ]
    for at in range(0, len(built.blob), _BYTES_PER_LINE):
        lines.append(f"    {built.blob[at : at + _BYTES_PER_LINE]!r}")
    return "\n".join([*lines, ")", ""])


def write(path, data):
    """Put bytes into a file at once: whoever reads it sees the old content or all of the new."""
    path = pathlib.Path(path)
    with about(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
