"""The root of the error tree, and the errors of parsers and of the store.

One cause, one stable code, one sentence. A class carries its codes in `codes`, a constant tuple
that stays in flash when frozen: (code, errno, sentence, remedy). docs/errors.md is made from it.
"""

from .compat import const

# Named here because some ports' errno module lacks them; the numbers are those of Linux and lwIP.
_ENOENT = const(2)
_EIO = const(5)
_EBADF = const(9)
_EACCES = const(13)
_EINVAL = const(22)


class SecureSocketError(OSError):
    """Base of every error raised here; `errno` is a number, so code that compares it still works.

    code: stable name of the cause; found, expected, remedy: text or None.
    """

    codes = (("closed", _EBADF, "the connection is closed", None),)

    def __init__(self, code, found=None, expected=None, remedy=None):
        number, sentence, usual_remedy = _row(self.codes, code)
        super().__init__(number, sentence)
        self.code = code
        self.sentence = sentence
        self.found = found
        self.expected = expected
        self.remedy = remedy or usual_remedy

    def __str__(self):
        text = self.sentence
        for label, fact in (
            (": found ", self.found),
            (", expected ", self.expected),
            ("; remedy: ", self.remedy),
        ):
            if fact is not None:
                text += label + str(fact)
        return text

    def __repr__(self):
        # What the REPL and sys.print_exception show for a subclass of a built-in exception.
        return "%s: %s" % (type(self).__name__, self)


def _row(codes, wanted):
    for code, number, sentence, remedy in codes:
        if code == wanted:
            return number, sentence, remedy
    raise KeyError(wanted)


class FormatError(SecureSocketError):
    """Bytes that are not what they should be: DER, PEM, certificates, keys."""

    codes = (
        ("der-truncated", _EINVAL, "DER data ends inside an element", None),
        ("der-length", _EINVAL, "DER length is not in its shortest form or too large", None),
        ("der-tag", _EINVAL, "DER element is of another type", None),
        ("der-trailing", _EINVAL, "DER element is followed by more bytes", None),
        ("der-value", _EINVAL, "DER value is outside what its type allows", None),
        ("pem-armour", _EINVAL, "PEM block has no matching BEGIN and END lines", None),
        ("pem-base64", _EINVAL, "PEM block is not base64", None),
        ("pem-size", _EINVAL, "PEM block is larger than any certificate or key here", None),
        ("pem-none", _EINVAL, "no PEM block of this kind here", None),
        ("certificate", _EINVAL, "this is not an X.509 certificate", None),
        ("key", _EINVAL, "this is not a private key in PKCS#1, SEC 1 or PKCS#8 form", None),
        ("key-encrypted", _EACCES, "the private key is encrypted", "decrypt it first: openssl pkey -in KEY"),
    )


class StoreError(SecureSocketError):
    """A certificate store cannot be used."""

    codes = (
        (
            "store-version",
            _EINVAL,
            "the store's format is newer than this code",
            "update securesocket, or build the store with this version's `securesocket store build`",
        ),
        ("store-full", _EINVAL, "a store holds at most 65535 certificates", None),
        ("store-size", _EINVAL, "a store is smaller than 1 GB, a certificate in it than 16 MB", None),
        ("store-ski", _EINVAL, "a subject key identifier in a store has at most 64 bytes", None),
        ("store-missing", _ENOENT, "there is no store here", "build one: securesocket store build"),
        ("store-file", _EIO, "the store's file cannot be read", None),
    )


class CorruptStore(StoreError):
    """Bytes of a store are not those that were built."""

    codes = (
        ("store-magic", _EIO, "this is not a certificate store", "build one: securesocket store build"),
        ("store-truncated", _EIO, "the store is shorter or longer than its header says", "copy it again"),
        ("store-header", _EIO, "the store's header is damaged", "copy it again"),
        ("store-record", _EIO, "a record of the store is damaged", "copy it again"),
        ("store-index", _EIO, "an index of the store is damaged", "copy it again"),
        ("store-check", _EIO, "the store's checksum does not hold", "copy it again"),
    )


class NotFound(StoreError):
    """The store does not hold what was asked for."""

    codes = (
        ("not-found", _ENOENT, "the store has no such entry", "securesocket store list shows what it has"),
    )
