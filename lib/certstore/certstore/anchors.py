"""What goes into a store, and the builder of its blob. docs/store-format.md has the format.

The same certificates and build time make the same bytes, in whatever order they are given.
"""

import binascii
import hashlib

from . import store
from .certificate import Certificate
from .compat import const
from .errors import StoreError
from .names import subject_hash

# The index keeps lengths in 3 bytes.
_MAX_CERTIFICATE = const(0xFFFFFF)

# The properties of a Certificate that trust depends on, besides may_issue and ski.
_FIELDS = ("not_after", "key_bits", "aki", "path_length", "key_usage", "names")


def kind_of(certificate):
    """What a Certificate is to a store: `store.ANCHOR` if it may issue others, else `store.EXACT`.

    Reads every field that trust depends on, so that a certificate with a damaged one is refused
    (FormatError) when the store is built and not when a device looks it up.
    """
    for field in _FIELDS:
        getattr(certificate, field)
    return store.ANCHOR if certificate.may_issue else store.EXACT


def build(certificates, build_time):
    """The blob of a store, bytes.

    certificates: DER, in any order; equal ones are stored once. build_time: s since 1970, the
    earliest time that a device with this store believes. Raises FormatError for what is no
    certificate, StoreError "store-full", "store-ski", "store-size".
    """
    entries = []
    for der in certificates:
        der = bytes(der)
        certificate = Certificate(der)
        ski = certificate.ski
        if len(ski) > store.MAX_SKI_WIDTH:
            raise StoreError("store-ski", "%d bytes" % len(ski))
        if len(der) > _MAX_CERTIFICATE:
            raise StoreError("store-size", "a certificate of %d bytes" % len(der))
        # Padded, so that sorting orders as the reader compares.
        padded = ski + bytes(store.MAX_SKI_WIDTH - len(ski))
        entries.append((padded, len(ski), der, kind_of(certificate), subject_hash(certificate.subject)))
    entries.sort()
    entries = [entries[i] for i in range(len(entries)) if i == 0 or entries[i] != entries[i - 1]]
    if len(entries) > store.MAX_COUNT:
        raise StoreError("store-full", "%d" % len(entries))
    return _blob(entries, build_time)


def _blob(entries, build_time):
    width = store.MIN_SKI_WIDTH
    for _, ski_size, _, _, _ in entries:
        width = max(width, ski_size)
    subject_index = store.HEADER_LENGTH + len(entries) * (width + store.SKI_ENTRY_EXTRA)
    start = subject_index + len(entries) * store.SUBJECT_ENTRY
    by_ski = bytearray()
    records = bytearray()
    subjects = []
    largest = 0
    for number, (padded, ski_size, der, kind, hash4) in enumerate(entries):
        record = bytes((kind, ski_size, 0, 0)) + hash4 + padded[:ski_size] + der
        record += binascii.crc32(record).to_bytes(4, "little")
        by_ski += padded[:width] + bytes((ski_size,))
        by_ski += len(der).to_bytes(3, "little") + (start + len(records)).to_bytes(4, "little")
        records += record
        subjects.append((hash4, number))
        largest = max(largest, len(record))
    subjects.sort()
    by_subject = bytearray()
    for hash4, number in subjects:
        by_subject += hash4 + number.to_bytes(2, "little")
    content = by_ski + by_subject + records
    total = store.HEADER_LENGTH + len(content)
    if total > store.MAX_TOTAL:
        raise StoreError("store-size", "%d bytes" % total)
    header = store.MAGIC + bytes((store.VERSION, store.HEADER_LENGTH, width, 0))
    for field in (total, len(entries), store.HEADER_LENGTH, subject_index, start, largest):
        header += field.to_bytes(4, "little")
    header += build_time.to_bytes(8, "little") + hashlib.sha256(content).digest()
    header += bytes(store.HEADER_LENGTH - 4 - len(header))
    header += binascii.crc32(header).to_bytes(4, "little")
    return header + content
