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
_EEXIST = const(17)
_EINVAL = const(22)
_EROFS = const(30)


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
        (
            "key-encrypted",
            _EACCES,
            "the private key is encrypted",
            "give its password, or decrypt it first: openssl pkey -in KEY",
        ),
        ("chain", _EINVAL, "these certificates are no chain of this key", None),
        ("key-plain", _EINVAL, "a password is given, but the private key is not encrypted", "leave it out"),
        (
            "key-kdf",
            _EINVAL,
            "the private key is encrypted in a way that is not read here",
            "encrypt it again: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in KEY -out NEW",
        ),
        (
            "iterations",
            _EINVAL,
            "the iterations of the private key's encryption are outside what is allowed here",
            "encrypt it again: openssl pkcs8 -topk8 -iter 10000 -in KEY -out NEW",
        ),
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
        ("store-size", _EINVAL, "a store is smaller than 16 MB, a certificate in it than 64 KB", None),
        ("store-ski", _EINVAL, "a subject key identifier in a store has at most 64 bytes", None),
        ("store-missing", _ENOENT, "there is no store here", "build one: securesocket store build"),
        ("store-file", _EIO, "the store's file cannot be read", None),
        (
            "store-read-only",
            _EROFS,
            "this store cannot be changed where it is",
            "keep changes in a file above it: certstore.layers.LayeredStore(store, path)",
        ),
        (
            "store-write",
            _EIO,
            "the store could not be written; the old one is unchanged",
            "make room in the file system, or check its health",
        ),
        ("store-exists", _EEXIST, "there is a store already", None),
        ("store-tag", _EACCES, "the new store has no tag under this key", "make it: securesocket store tag"),
        (
            "store-older",
            _EINVAL,
            "the new store is older than this one",
            "replace(..., older=True) takes it all the same",
        ),
        ("store-future", _EINVAL, "the new store was built in the future", "check this device's clock"),
        ("identity-exists", _EEXIST, "the store has an identity of this label", "remove it first"),
        ("identity-label", _EINVAL, "a label is text of 1 to 64 bytes in UTF-8", None),
        (
            "identity-password",
            _EINVAL,
            "an identity needs either a password, or plain=True for a key in the clear",
            None,
        ),
        (
            "identity-locked",
            _EACCES,
            "the private key is encrypted and the store is locked",
            "unlock it first: store.unlock(password)",
        ),
        ("identity-many", _EINVAL, "several identities are meant by this", "use the label"),
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


class BadPassword(StoreError):
    """An encrypted private key did not open. What failed after decryption is not told apart."""

    codes = (
        (
            "password",
            _EACCES,
            "wrong password, or the key is damaged",
            "try the password with: openssl pkey -noout -in KEY; the key must be RSA or EC",
        ),
    )
