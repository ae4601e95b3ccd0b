"""Certificates on the host: read from Mozilla's set, files and folders, and found by what a user types."""

import dataclasses
import datetime
import difflib
import pathlib

import certifi

from certstore import anchors, names, pem, store
from certstore.certificate import Certificate
from certstore.errors import FormatError

from .errors import CommandError, about

# What a folder is searched for.
SUFFIXES = (".pem", ".crt", ".cer", ".der")
KINDS = {store.ANCHOR: "anchor", store.EXACT: "exact"}
NEAREST = 5


@dataclasses.dataclass(frozen=True)
class Entry:
    """One certificate and where it came from."""

    der: bytes
    source: str
    certificate: Certificate = dataclasses.field(repr=False, compare=False)

    @classmethod
    def of(cls, der, source):
        """Raises FormatError if it is no certificate, or one with a field that trust depends on damaged."""
        certificate = Certificate(der)
        anchors.kind_of(certificate)
        return cls(der, source, certificate)

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

    def facts(self):
        """Everything that is shown, as JSON holds it."""
        certificate = self.certificate
        return {
            "subject": self.subject,
            "ski": certificate.ski.hex(),
            "not_before": moment(certificate.not_before),
            "not_after": moment(certificate.not_after),
            "key": self.key,
            "kind": self.kind,
            "path_length": certificate.path_length,
            "sha256": certificate.fingerprint().hex(),
        }


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A certificate or file that was left out, and why."""

    what: str
    reason: str


def moment(seconds):
    """Seconds since 1970 as ISO 8601 in UTC."""
    start = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (start + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def mozilla():
    """(entries, skipped) of Mozilla's roots, as certifi has them."""
    source = mozilla_title()
    with about(source):
        ders = pem.decode(pathlib.Path(certifi.where()).read_bytes())
    found, skipped = [], []
    for number, der in enumerate(ders):
        _add(found, skipped, der, source, f"certificate {number + 1} of {source}")
    return found, skipped


def mozilla_title():
    return f"Mozilla's roots (certifi {certifi.__version__})"


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
        ders = pem.decode(data) if pem.is_pem(data) else [data]
        return [Entry.of(der, str(path)) for der in ders]


def _add(found, skipped, der, source, what):
    try:
        found.append(Entry.of(der, source))
    except FormatError as error:
        skipped.append(Skipped(what, str(error)))


def select(entries, query):
    """The entries that a subject, SKI or file names exactly; CommandError with the nearest if none.

    A subject is a common name or a whole RFC 4514 name, case aside; an SKI or SHA-256 is in hex,
    with or without colons; a file holds certificates, which select those of the same subject and SKI.
    """
    chosen = _by_file(entries, query) if is_file(query) else _by_text(entries, query)
    if not chosen:
        raise CommandError(nothing_named(entries, query))
    return chosen


def search(entries, query):
    """As `select`, but a part of a subject does where none is equal; an empty list if nothing is found."""
    if is_file(query):
        return _by_file(entries, query)
    wanted = query.casefold()
    return _by_text(entries, query) or [e for e in entries if wanted and wanted in e.subject.casefold()]


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
        or digits in (entry.certificate.ski.hex(), entry.certificate.fingerprint().hex())
    ]


def _by_file(entries, path):
    wanted = [entry.certificate for entry in from_file(path)]
    return [entry for entry in entries if any(_same_holder(entry.certificate, other) for other in wanted)]


def _same_holder(a, b):
    return a.ski == b.ski and names.same_name(a.subject, b.subject)


def nothing_named(entries, query, where="what there is to choose from"):
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
