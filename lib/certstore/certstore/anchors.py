"""What goes into a store, and the builder of its blob. docs/store-format.md has the format.

The same certificates and build time make the same bytes, in whatever order they are given.
"""

from . import layout
from .certificate import Certificate
from .compat import const
from .errors import StoreError, part
from .packing import pack
from .subjects import subject_hash
from .writer import Entries, Writer, record

# A record is shorter than 64 KB on any device; Certificate cannot address more either.
_MAX_CERTIFICATE = const(0xFFFF)

# The properties of a Certificate that trust depends on, besides may_issue and ski.
_FIELDS = ("not_after", "key_bits", "aki", "path_length", "key_usage", "names")


def kind_of(certificate):
    """What a Certificate is to a store: `store.ANCHOR` if it may issue others, else `store.EXACT`.

    Reads every field that trust depends on, so that a certificate with a damaged one is refused
    (FormatError) when the store is built and not when a device looks it up.
    """
    for field in _FIELDS:
        getattr(certificate, field)
    return layout.ANCHOR if certificate.may_issue else layout.EXACT


def entries(certificates):
    """[(entry, record)] of certificates: DER, or (SKI, DER) of one that a store has laid out, which does not
    tell its SKI. Anchors are packed if they can be."""
    return [_row(*item) if isinstance(item, tuple) else _row(None, item) for item in certificates]


def _row(ski, der):
    der = bytes(der)
    if len(der) > _MAX_CERTIFICATE:
        raise StoreError("store-size", "a certificate of %d bytes" % len(der))
    certificate = Certificate(der)
    kind = kind_of(certificate)
    content = pack(certificate) if kind == layout.ANCHOR else None
    if content is not None:
        kind = layout.PACKED
    else:
        content = der
    return record(subject_hash(certificate.subject), certificate.ski if ski is None else ski, kind, content)


def build(certificates, build_time, identities=(), removed=()):
    """The blob of a store, bytes.

    certificates: as for `entries`, in any order; equal ones are stored once. build_time: s since 1970, the
    earliest time that a device with this store believes. identities: identities.Stored. removed: (SKI,
    subject hash) of what a store below this one is to hide. Raises FormatError for what is no certificate,
    StoreError "store-full", "store-ski", "store-size", "identity-exists".
    """
    rows = entries(certificates)
    rows += [record(hash4, ski, layout.NOTHING) for ski, hash4 in removed]
    made = ()
    if identities:
        made = part("certstore.identities", "certstore-identity").records(identities)
    parts = []
    header = Writer(Entries([]), Entries(rows), build_time, made).write(parts.append)
    return header + b"".join(parts)
