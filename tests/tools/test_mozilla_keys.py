"""The list of Mozilla's key identifiers is that of the pinned certifi."""

import importlib.util

import certifi

from certstore import mozilla, pem
from certstore.certificate import Certificate
from plugins.interpreters import ROOT


def generator():
    spec = importlib.util.spec_from_file_location("mozilla_keys", ROOT / "tools" / "mozilla_keys.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_checked_in_list_is_what_certifi_gives():
    module = generator()
    assert module.TARGET.read_text() == module.source()


def test_every_root_of_mozilla_is_known_and_no_other_key():
    with open(certifi.where(), "rb") as file:
        roots = pem.decode(file.read())
    assert all(mozilla.has(Certificate(der).ski) for der in roots)
    assert not mozilla.has(bytes(20))
    # Right bytes at a wrong place of the list are no key.
    first, second = mozilla._KEYS[0:4], mozilla._KEYS[4:8]
    assert not mozilla.has(first[2:] + second[:2] + bytes(16))
