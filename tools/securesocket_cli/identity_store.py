"""Identities in a store on the host: found by what a user types, added, replaced; all else stays."""

import dataclasses
import difflib
import os
import pathlib
import time

from certstore import names
from certstore.identities import Stored

from . import store_files
from .entries import Entry
from .errors import CommandError, about
from .identity_files import SECRET, Output

# Not that of the trust anchors: those are the same, and public, for all devices.
DEFAULT_STORE = "device.bin"
# docs/store-format.md: bytes of UTF-8.
MAX_LABEL = 64


@dataclasses.dataclass(frozen=True)
class Identity:
    """One identity, and its own certificate as it is shown."""

    stored: Stored = dataclasses.field(repr=False)
    entry: Entry

    @property
    def label(self):
        return self.stored.label

    @property
    def title(self):
        """The label, safe to print."""
        return names.escape(self.stored.label)

    def facts(self):
        """Everything that is shown, as JSON holds it."""
        facts = self.entry.facts()
        chain = [Entry.of(bytes(der), self.entry.source).subject for der in self.stored.chain]
        return {
            "label": self.label,
            **{name: facts[name] for name in ("subject", "ski", "not_before", "not_after", "key", "sha256")},
            "encrypted": self.stored.encrypted,
            "chain": chain,
        }


@dataclasses.dataclass(frozen=True)
class Held:
    """What a store's file holds: entries of certificates, what hides others in a store below, identities."""

    path: str
    build_time: int
    entries: list
    removed: list
    identities: list


def read(path=None):
    """The store at `path`, or ./device.bin, verified."""
    path = str(path or DEFAULT_STORE)
    if not os.path.lexists(path):
        raise CommandError(
            f"{path}: there is no such file; expected a store with an identity: "
            "`securesocket identity new --name NAME` makes one, --store names another"
        )
    opened = store_files.read_store(path)
    with about(path):
        found = [Identity(stored, Entry.of(bytes(stored.chain[0]), path)) for stored in opened.identities]
    return Held(path, opened.store.build_time, opened.entries, opened.removed, found)


def read_or_new(path=None):
    """As `read`; where there is no file an empty store, with the clock as its build time."""
    path = str(path or DEFAULT_STORE)
    return read(path) if os.path.lexists(path) else Held(path, int(time.time()), [], [], [])


def output(held, stored):
    """The file to write: the store with these identities, and everything else as it was."""
    if not (held.entries or held.removed or stored):
        raise CommandError(f"{held.path}: nothing would be left in it; delete the file instead")
    blob = store_files.make(held.entries, held.build_time, stored, held.removed)
    return Output(pathlib.Path(held.path), blob, SECRET)


def with_one(held, stored):
    """The file to write: the store with one identity more, or in the place of that with its label."""
    return output(held, [each.stored for each in held.identities if each.label != stored.label] + [stored])


def without(held, identity):
    """The file to write: the store without one of its identities."""
    return output(held, [each.stored for each in held.identities if each is not identity])


def check_label(label):
    """CommandError for a label that nobody can type, or that does not print as it is."""
    size = len(label.encode(errors="replace"))
    if not 1 <= size <= MAX_LABEL or names.escape(label) != label or label != label.strip():
        raise CommandError(
            f'label "{names.escape(label)}": expected 1 to {MAX_LABEL} bytes of printable UTF-8, '
            "without blanks around them; choose one with --name"
        )


def check_free(held, label, force):
    """CommandError if an identity has this label, unless `force`."""
    if not force and any(each.label == label for each in held.identities):
        raise CommandError(
            f'{held.path} has an identity "{label}" already; choose another --name, or give --force'
        )


def select(held, query):
    """The one identity that a label, a subject or an SKI names; else a CommandError with the nearest."""
    found = [each for each in held.identities if each.label == query] or _by_certificate(held, query)
    if len(found) == 1:
        return found[0]
    if found:
        labels = ", ".join(each.title for each in found)
        raise CommandError(f'"{names.escape(query)}" names several identities; expected one of {labels}')
    titles = [each.title for each in held.identities]
    near = difflib.get_close_matches(query, titles, len(titles) or 1, 0.4) or titles
    has = f"it has {', '.join(near)}" if near else "it has none"
    raise CommandError(f'no identity "{names.escape(query)}" in {held.path}; {has}')


def _by_certificate(held, query):
    # Subject or SKI as a device finds them, and an SKI as other programs print it.
    digits = query.replace(":", "").replace(" ", "").lower()
    return [each for each in held.identities if each.stored.is_meant(query) or each.stored.is_meant(digits)]
