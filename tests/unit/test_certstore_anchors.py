"""certstore.anchors: what becomes of which certificate, and that builds repeat."""

from certstore import anchors, store
from certstore.certificate import Certificate
from certstore.errors import FormatError, StoreError
from certstore.store import CertStore
from support import certificate_der, extension, made, raises

ROOTS = ("rsa_root", "ec_root", "no_ski", "ski8", "ski32", "twin_a", "twin_b", "leaf", "version1")


def ders(stems=ROOTS):
    return [certificate_der(stem) for stem in stems]


def test_kinds():
    for stem in ("rsa_root", "ec384_path0", "intermediate", "no_ski", "cross_signed"):
        assert anchors.kind_of(Certificate(certificate_der(stem))) == store.ANCHOR, stem
    for stem in ("leaf", "version1", "self_signed_device", "ca_no_sign"):
        assert anchors.kind_of(Certificate(certificate_der(stem))) == store.EXACT, stem


def test_the_same_certificates_make_the_same_bytes():
    given = ders()
    blob = anchors.build(given, 1234567890)
    assert isinstance(blob, bytes)
    assert anchors.build(given[::-1], 1234567890) == blob
    assert anchors.build([memoryview(der) for der in given + given], 1234567890) == blob
    assert anchors.build(given, 1234567891) != blob


def test_exact_duplicates_are_merged_and_others_kept():
    built = CertStore(anchors.build(ders(("twin_a", "twin_b", "twin_a")), 0))
    assert len(built) == 2
    built = CertStore(anchors.build(ders(("cross_self", "cross_signed")), 0))
    assert len(built) == 2


def test_damaged_certificates_are_refused():
    raises(FormatError, "der-truncated", anchors.build, [certificate_der("leaf")[:-1]], 0)
    for damaged in (
        extension(19, b"\x30\3\1\1\1"),
        extension(15, b"\3\0"),
        extension(17, b"\x31\0"),
        extension(35, b""),
    ):
        data = made(extensions=(damaged,))
        Certificate(data)
        try:
            anchors.build([data], 0)
        except FormatError:
            continue
        raise AssertionError(damaged)


def test_limits():
    for size in (1, 20, 63, 64):
        ski = bytes(range(size))
        built = CertStore(anchors.build([made(extensions=(extension(14, b"\4" + bytes((size,)) + ski),))], 0))
        assert built.find(ski) == 0 and built.ski(0) == ski
        built.verify()
    ski = bytes(range(65))
    too_long = made(extensions=(extension(14, b"\4\x41" + ski),))
    error = raises(StoreError, "store-ski", anchors.build, [too_long], 0)
    assert error.found == "65 bytes"
