"""certstore.anchors: what becomes of which certificate, and that builds repeat."""

from certstore import anchors, store
from certstore.certificate import Certificate
from certstore.errors import FormatError, StoreError
from certstore.store import CertStore
from stores import ca, path_length
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
    assert anchors.build(list(reversed(given)), 1234567890) == blob
    assert anchors.build([memoryview(der) for der in given + given], 1234567890) == blob
    assert anchors.build(given, 1234567891) != blob


def test_the_order_does_not_matter():
    expected = anchors.build(ders(), 5)
    for turn in range(len(ROOTS)):
        assert anchors.build(ders(ROOTS[turn:] + ROOTS[:turn]), 5) == expected
    removed = ((b"a" * 20, b"HASH"), (b"b" * 8, b"HASH"), (b"a" * 20, b"hash"))
    expected = anchors.build(ders(), 5, (), removed)
    assert anchors.build(list(reversed(ders())), 5, (), tuple(reversed(removed)) + removed) == expected


def test_equal_certificates_are_merged_and_others_kept():
    built = CertStore(anchors.build(ders(("twin_a", "twin_b", "twin_a")), 0))
    assert len(built) == 2
    # Equal in all that is kept of an anchor: the signature and the issuer are not.
    built = CertStore(anchors.build(ders(("cross_self", "cross_signed")), 0))
    assert len(built) == 1
    # One SKI, and as many certificates as differ.
    several = [ca(name, ski=b"s" * 20) for name in (b"a", b"b", b"c")] + [made(extensions=(ski(b"s" * 20),))]
    built = CertStore(anchors.build(several + several, 0))
    built.verify()
    assert len(built) == 4
    found = []
    number = built.find(b"s" * 20)
    while number >= 0:
        found.append(built.kind(number))
        number = built.find(b"s" * 20, number)
    assert sorted(found) == [store.ANCHOR] * 3 + [store.EXACT]


def ski(value):
    return extension(14, b"\4" + bytes((len(value),)) + value)


def test_a_store_is_built_again_from_what_it_lays_out():
    limited = ca(b"limited", ski=b"L" * 20, more=(extension(30, b"\x30\0"),))
    blob = anchors.build(ders() + [limited], 5)
    opened = CertStore(blob)
    pairs = [(opened.ski(number), bytes(opened.certificate(number))) for number in opened.numbers()]
    assert anchors.build(pairs, 5) == blob
    assert anchors.build(list(reversed(pairs)), 5) == blob
    # Together with the certificates that it was built from, too.
    assert anchors.build(pairs + ders() + [limited], 5) == blob
    # A laid-out certificate does not tell its SKI.
    number = opened.find(bytes(range(1, 9)))
    assert Certificate(opened.certificate(number)).ski != opened.ski(number)
    views = [(memoryview(key), memoryview(der)) for key, der in pairs]
    assert anchors.build([(bytes(key), der) for key, der in views], 5) == blob


def test_a_given_ski_comes_before_the_certificate_s_own():
    der = ca(ski=b"own" * 5)
    built = CertStore(anchors.build([(b"given", der)], 0))
    assert built.find(b"given") == 0 and built.find(b"own" * 5) == -1
    error = raises(StoreError, "store-ski", anchors.build, [(bytes(65), der)], 0)
    assert error.found == "65 bytes"


def test_what_is_kept_of_which():
    rows = (
        (ca(b"packed"), store.ANCHOR, True),
        (ca(b"name constraints", more=(extension(30, b"\x30\0"),)), store.ANCHOR, False),
        (ca(b"pathLen 128", basic=path_length(128)), store.ANCHOR, False),
        (certificate_der("leaf"), store.EXACT, False),
        (certificate_der("version1"), store.EXACT, False),
        (certificate_der("ca_no_sign"), store.EXACT, False),
    )
    for der, kind, is_packed in rows:
        built = CertStore(anchors.build([der], 0))
        assert (built.kind(0), built.is_packed(0)) == (kind, is_packed)
        assert (built.certificate(0) == der) == (not is_packed)


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
        value = bytes(range(size))
        built = CertStore(anchors.build([made(extensions=(ski(value),))], 0))
        assert built.find(value) == 0 and built.ski(0) == value
        built.verify()
    too_long = made(extensions=(ski(bytes(range(65))),))
    error = raises(StoreError, "store-ski", anchors.build, [too_long], 0)
    assert error.found == "65 bytes"
