"""The root of the error tree, the errors of parsers and of the store, and how optional parts are found.

One cause, one stable code, one sentence. A class carries its codes in `codes`, a constant tuple that
stays in flash when frozen: (errno, codes separated by blanks). The sentences and remedies are in a module
`sentences` of each package, read when an error's text is asked for; they are optional, the codes are not.
"""

import sys

from .compat import const

# Named here because some ports' errno module lacks them; the numbers are those of Linux and lwIP.
_ENOENT = const(2)
_EIO = const(5)
_EBADF = const(9)
_EACCES = const(13)
_EEXIST = const(17)
_EINVAL = const(22)
_EROFS = const(30)
_EOPNOTSUPP = const(95)


def part(name, package=None):
    """The module `name`, which may not be installed: then None, or MissingPackage if `package` tells what has
    it. What else goes wrong with an import is no reason to do without the module."""
    try:
        __import__(name)
        return sys.modules[name]
    except ImportError as error:
        if name not in str(error):
            raise
    if package is not None:
        raise MissingPackage("package", "no module " + name, package, 'mip.install("%s")' % package)


class SecureSocketError(OSError):
    """Base of every error raised here; `errno` is a number, so code that compares it still works.

    code: stable name of the cause; found, expected: text or None; sentence, remedy: text, or None where
    the package with the texts is not installed.
    """

    codes = ((_EBADF, "closed"),)
    # Whose `sentences` tell what the codes mean.
    package = "certstore"

    def __init__(self, code, found=None, expected=None, remedy=None):
        for number, names in self.codes:
            if code in names.split():
                break
        else:
            raise KeyError(code)
        super().__init__(number, code)
        self.code = code
        self.found = found
        self.expected = expected
        if remedy is not None:
            self.remedy = remedy

    def __getattr__(self, name):
        # The words are read when they are asked for.
        if name != "sentence" and name != "remedy":
            raise AttributeError(name)
        sentences = part(self.package + ".sentences")
        row = sentences.of(self.code) if sentences else (None, None)
        return row[name == "remedy"]

    def __str__(self):
        sentence = self.sentence
        text = sentence or self.code
        for label, fact in (
            (": found ", self.found),
            (", expected ", self.expected),
            ("; remedy: ", self.remedy),
        ):
            if fact is not None:
                text += label + str(fact)
        if sentence is None:
            text += '; in words: mip.install("%s-explain")' % self.package
        return text

    def __repr__(self):
        # What the REPL and sys.print_exception show for a subclass of a built-in exception.
        return "%s: %s" % (type(self).__name__, self)


class MissingPackage(SecureSocketError):
    """What was asked for comes in an optional package, which is not installed."""

    codes = ((_EOPNOTSUPP, "package"),)


class FormatError(SecureSocketError):
    """Bytes that are not what they should be: DER, PEM, certificates, keys."""

    codes = (
        (
            _EINVAL,
            "der-truncated der-length der-tag der-trailing der-value pem-armour pem-base64 pem-size pem-none "
            "certificate key chain key-plain key-kdf iterations",
        ),
        (_EACCES, "key-encrypted"),
    )


class StoreError(SecureSocketError):
    """A certificate store cannot be used."""

    codes = (
        (
            _EINVAL,
            "store-version store-full store-size store-ski store-older store-future identity-label "
            "identity-password identity-many",
        ),
        (_ENOENT, "store-missing"),
        (_EIO, "store-file store-write"),
        (_EROFS, "store-read-only"),
        (_EEXIST, "store-exists identity-exists"),
        (_EACCES, "store-tag identity-locked"),
    )


class CorruptStore(StoreError):
    """Bytes of a store are not those that were built."""

    codes = ((_EIO, "store-magic store-truncated store-header store-record store-index store-check"),)


class NotFound(StoreError):
    """The store does not hold what was asked for."""

    codes = ((_ENOENT, "not-found"),)


class BadPassword(StoreError):
    """An encrypted private key did not open. What failed after decryption is not told apart."""

    codes = ((_EACCES, "password"),)
