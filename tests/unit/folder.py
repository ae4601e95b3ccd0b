"""A folder for files of a test, and stores to put there."""

import binascii
import os

from certstore import anchors
from certstore.identities import Stored
from certstore.store import CertStore
from support import certificate_der, vector

BUILT = 1700000000
RSA, EC, PATH0 = [certificate_der(stem) for stem in ("rsa_root", "ec_root", "ec384_path0")]
TWIN_A, TWIN_B = [certificate_der(stem) for stem in ("twin_a", "twin_b")]
LEAF = certificate_der("leaf")
PLAIN_KEY = vector("keys/ec_pkcs8.der")
# The EC root's own key: the one certificate here that makes a chain by itself.
DEVICE = Stored("device", [EC], PLAIN_KEY)


class Folder:
    """A temporary folder; its path with "/" is what `with` gives. It goes with all files in it."""

    def __enter__(self):
        # Several interpreters run this at the same time.
        self._path = "/tmp/certstore-%s.tmp" % binascii.hexlify(os.urandom(8)).decode()
        os.mkdir(self._path)
        return self._path + "/"

    def __exit__(self, *_):
        for name in os.listdir(self._path):
            os.remove(self._path + "/" + name)
        os.rmdir(self._path)


def put(path, data):
    with open(path, "wb") as file:
        file.write(data)


def get(path):
    with open(path, "rb") as file:
        return file.read()


def names(folder):
    return sorted(os.listdir(folder))


def blob_of(opened):
    return bytes(opened.copy(0, opened.size))


def ski_of(der):
    return CertStore(anchors.build([der], 0)).ski(0)


def shown(opened):
    """{(SKI, DER)} of the certificates that a store shows: the same for a packed anchor wherever it is."""
    return {(opened.ski(number), bytes(opened.certificate(number))) for number in opened.numbers()}


def shown_of(*ders):
    """What a store with these certificates shows."""
    return shown(CertStore(anchors.build(ders, 0)))


class Patched:
    """While it lasts, a module's attribute is another."""

    def __init__(self, module, name, value):
        self._module, self._name, self._value = module, name, value

    def __enter__(self):
        self._had = hasattr(self._module, self._name)
        self._known = getattr(self._module, self._name, None)
        setattr(self._module, self._name, self._value)

    def __exit__(self, *_):
        if self._had:
            setattr(self._module, self._name, self._known)
        else:
            delattr(self._module, self._name)
