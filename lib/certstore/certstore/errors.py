"""The root of the error tree, the errors of parsers and of the store, and how optional parts are found.

One cause, one stable code, one sentence. A class carries in `numbers`, a constant tuple that stays in flash
when frozen, what `errno` its codes have: (errno, codes separated by blanks, None for all others). Its codes,
with sentence and remedy, are in a module `sentences` of each package, which is optional and read when an
error's text is asked for. A test holds every code that is raised to be there.
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

    numbers = ((_EBADF, None),)
    # Whose `sentences` tell what the codes mean.
    package = "certstore"

    def __init__(self, code, found=None, expected=None, remedy=None):
        for number, codes in self.numbers:
            if codes is None or code in codes.split():
                break
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

    numbers = ((_EOPNOTSUPP, None),)


class FormatError(SecureSocketError):
    """Bytes that are not what they should be: DER, PEM, certificates, keys."""

    numbers = ((_EACCES, "key-encrypted"), (_EINVAL, None))


class StoreError(SecureSocketError):
    """A certificate store cannot be used."""

    numbers = (
        (_ENOENT, "store-missing"),
        (_EIO, "store-file store-write"),
        (_EROFS, "store-read-only"),
        (_EEXIST, "store-exists identity-exists"),
        (_EACCES, "store-tag identity-locked"),
        (_EINVAL, None),
    )


class CorruptStore(StoreError):
    """Bytes of a store are not those that were built."""

    numbers = ((_EIO, None),)


class NotFound(StoreError):
    """The store does not hold what was asked for."""

    numbers = ((_ENOENT, None),)


class BadPassword(StoreError):
    """An encrypted private key did not open. What failed after decryption is not told apart."""

    numbers = ((_EACCES, None),)
