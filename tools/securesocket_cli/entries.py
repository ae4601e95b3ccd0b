"""Certificates on the host: read from Mozilla's set, files and folders, compared, and found by what a
user types."""

import dataclasses
import difflib
import functools
import hashlib
import pathlib

import certifi

from certstore import anchors, layout, names, packing, pem, subjects
from certstore.certificate import Certificate
from certstore.errors import FormatError

from .errors import CommandError, about
from .moments import moment

# What a folder is searched for.
SUFFIXES = (".pem", ".crt", ".cer", ".der")
KINDS = {layout.ANCHOR: "anchor", layout.EXACT: "exact"}
NEAREST = 5


@dataclasses.dataclass(frozen=True)
class Entry:
    """One certificate and where it came from.

    packed: it is what a store laid out of an anchor, so `der` is not what its CA issued.
    mozilla: SHA-256 of Mozilla's root of the same subject and key, where that is known.
    """

    der: bytes
    source: str
    certificate: Certificate = dataclasses.field(repr=False, compare=False)
    ski: bytes
    packed: bool = False
    mozilla: bytes | None = None

    @classmethod
    def of(cls, der, source, ski=None, packed=False):
        """Raises FormatError if it is no certificate, or one with a field that trust depends on damaged."""
        certificate = Certificate(der)
        anchors.kind_of(certificate)
        return cls(der, source, certificate, certificate.ski if ski is None else ski, packed)

    @property
    def subject(self):
        return names.format_name(self.certificate.subject)

    @property
    def title(self):
        """What a person calls it: its common name, else its whole subject."""
        return names.common_name(self.certificate.subject) or self.subject

    @property
    def key(self):
        kind = self.certificate.key_type
        detail = self.certificate.curve or self.certificate.key_bits
        return f"{kind} {detail}" if detail else kind

    @property
    def kind(self):
        return KINDS[anchors.kind_of(self.certificate)]

    @property
    def sha256(self):
        """SHA-256 of what its CA issued, or None where the store does not have that."""
        return None if self.packed else hashlib.sha256(self.der).digest()

    @property
    def part(self):
        """What the builder of stores takes for it."""
        return (self.ski, self.der) if self.packed else self.der

    @functools.cached_property
    def content(self):
        """What a store keeps of it: equal for entries that are the same to a device."""
        return self.ski, packing.pack(self.certificate) or self.der

    def facts(self):
        """Everything that is shown, as JSON holds it."""
        certificate = self.certificate
        return {
            "subject": self.subject,
            "ski": self.ski.hex(),
            "not_before": moment(certificate.not_before),
            "not_after": moment(certificate.not_after),
            "key": self.key,
            "kind": self.kind,
            "path_length": certificate.path_length,
            "packed": self.packed,
            "pin": certificate.pin().hex(),
            "sha256": _hex(self.sha256),
            "mozilla_sha256": _hex(self.mozilla),
        }


class Holders:
    """Entries by whose they are: the same subject and public key."""

    def __init__(self, entries=()):
        self._by_key = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry):
        self._by_key.setdefault(bytes(entry.certificate.public_key_info), []).append(entry)

    def of(self, entry):
        """The entries of the same holder as this one, in their order."""
        found = self._by_key.get(bytes(entry.certificate.public_key_info), ())
        return [e for e in found if subjects.same_name(e.certificate.subject, entry.certificate.subject)]

    def equal(self, entry):
        """The entry that a store would hold as the same one, or None."""
        return next((other for other in self.of(entry) if other.content == entry.content), None)


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A certificate or file that was left out, and why."""

    what: str
    reason: str


def _hex(digest):
    return None if digest is None else digest.hex()


def mozilla():
    """(entries, skipped) of Mozilla's roots, as certifi has them."""
    source = mozilla_title()
    with about(source):
        ders = pem.decode(pathlib.Path(certifi.where()).read_bytes())
    found, skipped = [], []
    for number, der in enumerate(ders):
        try:
            entry = Entry.of(der, source)
        except FormatError as error:
            skipped.append(Skipped(f"certificate {number + 1} of {source}", str(error)))
        else:
            found.append(dataclasses.replace(entry, mozilla=entry.sha256))
    return found, skipped


def mozilla_title():
    return f"Mozilla's roots (certifi {certifi.__version__})"


def beside_mozilla(entries):
    """The same entries, each with the SHA-256 of Mozilla's root of the same subject and key."""
    known = Holders(mozilla()[0])
    return [
        dataclasses.replace(entry, mozilla=roots[0].mozilla) if (roots := known.of(entry)) else entry
        for entry in entries
    ]


def from_path(path):
    """(entries, skipped) of a PEM or DER file, or of the files in a folder that look like either.

    A file that was named must hold certificates and nothing damaged; in a folder, files that do not
    are skipped with their reason.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        return from_file(path), []
    with about(path):
        files = sorted(child for child in path.iterdir() if child.suffix.lower() in SUFFIXES)
    found, skipped = [], []
    for file in files:
        try:
            found += from_file(file)
        except CommandError as error:
            reason = error.message.removeprefix(f"{file}: ")
            skipped.append(Skipped(names.escape(str(file)), reason))
    if not found:
        raise CommandError(f"{path}: no certificate in a file named {', '.join('*' + s for s in SUFFIXES)}")
    return found, skipped


def from_file(path):
    """The entries of one PEM or DER file."""
    with about(path):
        data = pathlib.Path(path).read_bytes()
        if data.startswith(layout.MAGIC):
            raise CommandError(
                f"{path}: found a store, expected certificates; --store names one to look into"
            )
        ders = pem.decode(data) if pem.is_pem(data) else [data]
        return [Entry.of(der, str(path)) for der in ders]


def choices(entries, query):
    """What a subject, SKI, SHA-256 or file names exactly: a list of entries for each that it asks for.

    A subject is a common name or a whole RFC 4514 name, case aside; an SKI, or the SHA-256 of a
    certificate or of its public key info, is in hex, with or without colons; a file holds certificates,
    each of which names its equal, else those of the same subject and key.
    """
    return _by_file(entries, query) if is_file(query) else [_by_text(entries, query)]


def select(entries, query, where="what there is to choose from"):
    """All that `choices` finds; CommandError with the nearest if there is none."""
    chosen = [entry for group in choices(entries, query) for entry in group]
    if not chosen:
        raise CommandError(nothing_named(entries, query, where))
    return list(dict.fromkeys(chosen))


def search(entries, query):
    """As `select`, but a part of a subject does where none is equal; an empty list if nothing is found."""
    found = [entry for group in choices(entries, query) for entry in group]
    if found or is_file(query):
        return list(dict.fromkeys(found))
    wanted = query.casefold()
    return [e for e in entries if wanted and wanted in e.subject.casefold()]


def is_file(query):
    try:
        return pathlib.Path(query).is_file()
    except (OSError, ValueError):
        return False


def _by_text(entries, query):
    wanted = query.casefold()
    digits = wanted.replace(":", "").replace(" ", "")
    return [
        entry
        for entry in entries
        if wanted in (entry.title.casefold(), entry.subject.casefold())
        or digits in (entry.ski.hex(), entry.certificate.pin().hex(), _hex(entry.sha256), _hex(entry.mozilla))
    ]


def _by_file(entries, path):
    held = Holders(entries)
    return [[equal] if (equal := held.equal(asked)) else held.of(asked) for asked in from_file(path)]


def nothing_named(entries, query, where):
    """The message for a query without a result."""
    near = nearest(entries, query)
    text = f'no certificate "{names.escape(query)}" in {where}'
    return text + ("; nearest: " + ", ".join(near) if near else "")


def nearest(entries, query):
    """Titles that a user may have meant, best first."""
    wanted = query.casefold()
    titles = {entry.title.casefold(): entry.title for entry in entries}
    near = [title for folded, title in titles.items() if wanted and (wanted in folded or folded in wanted)]
    near += [titles[folded] for folded in difflib.get_close_matches(wanted, titles, NEAREST, 0.5)]
    return list(dict.fromkeys(near))[:NEAREST]
