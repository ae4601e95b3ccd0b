"""The layout of a store's blob, by number. docs/store-format.md explains it."""

from .compat import const

# As in PNG: a byte above 127, both line ends and Ctrl-Z show a copy in text mode at once.
MAGIC = b"\x89SKI\r\n\x1a\n"
VERSION = const(1)

# Header: offsets of its fields; integers are little-endian.
AT_VERSION = const(8)
AT_HEADER_LENGTH = const(9)
AT_SKI_WIDTH = const(10)
AT_IDENTITY_COUNT = const(11)
AT_TOTAL = const(12)
AT_COUNT = const(16)
AT_LARGEST = const(20)
AT_IDENTITIES = const(24)
AT_RESERVED = const(28)
AT_BUILD_TIME = const(36)
AT_DIGEST = const(44)
AT_RESERVED_TOO = const(76)
AT_HEADER_CHECK = const(92)
HEADER_LENGTH = const(96)

# SKIs are 20 bytes nearly always; no hash in use makes one longer than 64.
MIN_SKI_WIDTH = const(20)
MAX_SKI_WIDTH = const(64)
MAX_COUNT = const(65535)
MAX_IDENTITIES = const(255)
# Offsets of records have 3 bytes.
MAX_TOTAL = const(0xFFFFFF)
# More than a packed anchor takes when it is laid out, beyond its record.
MAX_LAID_OUT = const(8192)

# An entry of the SKI index: subject hash, 4 bytes; length of the SKI, 1 byte, with REMOVED added where
# the entry hides others; SKI padded with zeros; offset of the record, 3 bytes.
AT_LENGTH = const(4)
ENTRY_HEAD = const(5)
ENTRY_EXTRA = const(8)
REMOVED = const(0x80)
# An entry of the subject index: number of the certificate.
SUBJECT_ENTRY = const(2)
# A record: kind, content, checksum over the index entry up to the SKI's last byte and over the record.
RECORD_HEAD = const(1)
RECORD_CHECK = const(4)

# Kinds of records: a certificate that may issue others, one that stands for itself only; and as they lie
# in the store, the first of them packed, and nothing in a REMOVED entry.
ANCHOR = const(1)
EXACT = const(2)
PACKED = const(3)
NOTHING = const(4)

# CRC-32 over anything followed by its own CRC-32, little-endian. Below 2**30, so that comparing a
# good record's makes no big int on 32-bit boards.
GOOD_CRC = const(0x2144DF1C)

# An update is in PATH + JOURNAL until it is in PATH; with the mark at its end it counts (`journal`).
JOURNAL = ".new"
JOURNAL_MARK = b"complete"
# A whole new store is read into PATH + STAGED, to be checked there (`replace`).
STAGED = ".in"

# Files are copied and summed in pieces of this size.
CHUNK = const(256)
