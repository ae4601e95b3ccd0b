"""certstore.entropy: a random source is tried before it is used, and refused if it repeats itself."""

import os

from certstore import entropy, pbes2
from certstore.entropy import EntropyError
from certstore.errors import SecureSocketError
from folder import Patched
from support import raises, vector

PLAIN = vector("keys/ec_pkcs8.der")


class Source:
    """In place of the module `os`: urandom gives what `draws` says, a function of the size, and counts."""

    def __init__(self, draws):
        self._draws = draws
        self.calls = 0

    def urandom(self, size):
        self.calls += 1
        return self._draws(size)


class Absent:
    pass


class Device:
    """As after a start, with this in place of `os`."""

    def __init__(self, source):
        self.source = source
        self._patches = [
            Patched(entropy, "os", source),
            Patched(entropy, "_passed", False),
            Patched(entropy, "is_weak_accepted", False),
        ]

    def __enter__(self):
        for patch in self._patches:
            patch.__enter__()
        return self.source

    def __exit__(self, *_):
        for patch in self._patches:
            patch.__exit__()


def fails(size):
    raise OSError(5)


def counter():
    state = [0]

    def draw(size):
        state[0] += size
        return bytes([(state[0] + i) & 255 for i in range(size)])

    return draw


def of_values(count):
    """Draws that differ, of exactly `count` different bytes."""
    state = [0]

    def draw(size):
        state[0] += 1
        return bytes([(i + state[0]) % count for i in range(size)])

    return draw


WEAK = (
    lambda size: bytes(size),
    lambda size: b"\xff" * size,
    lambda size: bytes(range(size)),
    of_values(1),
    of_values(2),
    of_values(8),
)
ABSENT = (fails, lambda size: b"", lambda size: os.urandom(size - 1), lambda size: os.urandom(size + 1))


def test_the_source_of_this_machine_passes():
    with Device(os):
        entropy.check()
        assert len(entropy.random(8)) == 8 and entropy.random(16) != entropy.random(16)
        assert entropy.random(0) == b""


def test_a_source_that_repeats_itself_is_refused():
    for draws in WEAK:
        with Device(Source(draws)):
            error = raises(EntropyError, "entropy-weak", entropy.check)
            assert "accept_weak_entropy" in error.remedy and error.errno == 5
            raises(EntropyError, "entropy-weak", entropy.random, 16)


def test_nine_different_bytes_are_enough():
    with Device(Source(of_values(9))):
        entropy.check()


def test_a_source_that_is_missing_is_refused():
    for draws in ABSENT:
        with Device(Source(draws)):
            raises(EntropyError, "entropy-absent", entropy.check)
            raises(EntropyError, "entropy-absent", entropy.random, 16)
    with Device(Absent()):
        raises(EntropyError, "entropy-absent", entropy.check)


def test_it_is_tried_once():
    with Device(Source(counter())) as source:
        entropy.check()
        assert source.calls == 2
        entropy.check()
        entropy.random(4)
        assert source.calls == 3


def test_a_refusal_is_not_remembered():
    with Device(Source(lambda size: bytes(size))) as source:
        raises(EntropyError, "entropy-weak", entropy.check)
        source._draws = counter()
        entropy.check()


def test_a_source_that_fails_after_it_passed():
    with Device(Source(counter())) as source:
        entropy.check()
        source._draws = fails
        raises(EntropyError, "entropy-absent", entropy.random, 4)


def test_weak_is_accepted_by_name_only_and_absent_never():
    with Device(Source(lambda size: bytes(size))) as source:
        raises(EntropyError, "entropy-weak", entropy.check)
        entropy.accept_weak()
        entropy.check()
        assert entropy.random(3) == bytes(3)
        source._draws = fails
        entropy.check()
        raises(EntropyError, "entropy-absent", entropy.random, 3)
    assert entropy.accept_weak_entropy is entropy.accept_weak


def test_no_key_is_encrypted_without_it():
    with Device(Source(lambda size: bytes(size))):
        raises(EntropyError, "entropy-weak", pbes2.encrypt, PLAIN, b"password", 1)
        entropy.accept_weak()
        pbes2.encrypt(PLAIN, b"password", 1)
    with Device(Absent()):
        raises(EntropyError, "entropy-absent", pbes2.encrypt, PLAIN, b"password", 1)


def test_its_error_is_one_of_ours():
    assert issubclass(EntropyError, SecureSocketError) and issubclass(EntropyError, OSError)
