"""For tests that run on CPython and on MicroPython: no test framework, plain asserts."""

import json
import sys

from certstore.asn1 import encode
from certstore.errors import SecureSocketError

ON_MICROPYTHON = sys.implementation.name == "micropython"
_VECTORS = (__file__.rpartition("/")[0] or ".") + "/../vectors/"


class Skip(Exception):
    """Ends a test that cannot run here; its text is the reason."""


def only_on_micropython(reason):
    if not ON_MICROPYTHON:
        raise Skip(reason)


def vector(path):
    """The bytes of a file below tests/vectors."""
    with open(_VECTORS + path, "rb") as file:
        return file.read()


def certificate_der(name):
    return vector("certificates/%s.der" % name)


def facts(folder="certificates"):
    return json.loads(vector(folder + "/facts.json"))


def raises(kind, code, function, *args):
    """Call, and demand exactly this class of error with this code; returns the error."""
    try:
        function(*args)
    except SecureSocketError as error:
        assert type(error) is kind, repr(error)
        assert error.code == code, repr(error)
        return error
    raise AssertionError("no %s" % kind.__name__)


def attack(function, data, values=(0x00, 0x7F, 0x80, 0xFF, None), stride=1, on_value=None):
    """Feed every prefix and every single-byte change of `data`: a value or a SecureSocketError.

    values: what each byte becomes, None for its lowest bit flipped. stride: of which bytes. Returns
    how many calls gave a value and how many an error; on_value(value) is called for each value.
    """
    counts = [0, 0]

    def call(candidate):
        try:
            value = function(candidate)
        except SecureSocketError:
            counts[1] += 1
            return
        counts[0] += 1
        if on_value is not None:
            on_value(value)

    for size in range(0, len(data), stride):
        call(data[:size])
    changed = bytearray(data)
    for at in range(0, len(data), stride):
        old = data[at]
        for value in values:
            value = old ^ 1 if value is None else value
            if value != old:
                changed[at] = value
                call(bytes(changed))
        changed[at] = old
    return counts


# A certificate put together here, one part at a time, to reach what no issuer writes.
ALGORITHM = encode(0x30, encode(0x06, b"\x2a\x86\x48\xce\x3d\x04\x03\x02"))


def common_name(text):
    return encode(0x30, encode(0x31, encode(0x30, encode(0x06, b"\x55\x04\x03"), encode(0x0C, text))))


NAME = common_name(b"x.test")
EC_KEY = encode(
    0x30,
    encode(
        0x30, encode(0x06, b"\x2a\x86\x48\xce\x3d\x02\x01"), encode(0x06, b"\x2a\x86\x48\xce\x3d\x03\x01\x07")
    ),
    encode(0x03, b"\0\4" + b"k" * 64),
)
UTC = encode(0x17, b"500101000000Z")
VERSION_3 = encode(0xA0, b"\2\1\2")
UNTIL_2049 = encode(0x17, b"491231235959Z")
SIGNATURE = encode(0x03, b"\0s")


def made(
    version=VERSION_3,
    serial=b"\2\1\1",
    times=UTC + UNTIL_2049,
    key=EC_KEY,
    after_key=b"",
    extensions=(),
    signature=SIGNATURE,
    trailing=b"",
    name=NAME,
):
    parts = [version, serial, ALGORITHM, name, encode(0x30, times), name, key, after_key]
    if extensions:
        parts.append(encode(0xA3, encode(0x30, *extensions)))
    return encode(0x30, encode(0x30, *parts), ALGORITHM, signature) + trailing


def extension(number, value, critical=b""):
    return encode(0x30, encode(0x06, bytes((0x55, 0x1D, number))), critical, encode(0x04, value))
