"""certstore.pem: bundles as people keep them, and armour that must be refused."""

from certstore import pem
from certstore.errors import FormatError
from support import ON_MICROPYTHON, attack, certificate_der, raises

ROOT = certificate_der("ec_root")
LEAF = certificate_der("leaf")
KEY = b"not really a key"
BUNDLE = (
    "# EC Root\nsome -----BEGIN CERTIFICATE----- in a sentence\n"
    + pem.encode(ROOT)
    + "\nsubject=leaf\n\n"
    + pem.encode(KEY, "PRIVATE KEY")
    + pem.encode(LEAF)
    + "the end"
)
EXPECTED = [("CERTIFICATE", ROOT), ("PRIVATE KEY", KEY), ("CERTIFICATE", LEAF)]


def blocks(data, label=None):
    return list(pem.blocks(data, label))


def test_bundle():
    assert blocks(BUNDLE) == EXPECTED
    assert pem.decode(BUNDLE) == [ROOT, LEAF]
    assert pem.decode(BUNDLE, "PRIVATE KEY") == [KEY]
    assert blocks("") == [] and blocks(b"no block at all\n") == []


def test_every_kind_of_text():
    text = BUNDLE.encode()
    for data in (text, bytearray(text), memoryview(text)):
        assert blocks(data) == EXPECTED
    assert blocks(BUNDLE.replace("\n", "\r\n")) == EXPECTED
    assert blocks(BUNDLE.replace("\n", "\r")) == EXPECTED
    assert blocks(BUNDLE.replace("\n", "\n    ")) == EXPECTED
    assert blocks(BUNDLE.replace("\n", "  \t\n")) == EXPECTED
    mark = b"\xef\xbb\xbf"
    assert blocks(mark + pem.encode(ROOT).encode()) == [("CERTIFICATE", ROOT)]
    raises(FormatError, "pem-armour", blocks, b"x" + mark + pem.encode(ROOT).encode())
    body = pem.encode(ROOT).split("\n")[1:-2]
    assert pem.decode("-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----" % "".join(body)) == [ROOT]


def test_encode():
    text = pem.encode(ROOT)
    lines = text.split("\n")
    assert lines[0] == "-----BEGIN CERTIFICATE-----" and lines[-2] == "-----END CERTIFICATE-----"
    assert max([len(line) for line in lines[1:-2]]) == 64 and lines[-1] == ""
    for size in (1, 47, 48, 49, 96):
        assert pem.decode(pem.encode(bytes(size), "X"), "X") == [bytes(size)]


def test_is_pem():
    assert pem.is_pem(BUNDLE) and pem.is_pem(BUNDLE.encode()) and pem.is_pem(memoryview(BUNDLE.encode()))
    assert pem.is_pem("0 is a digit\n" + BUNDLE)
    assert not pem.is_pem(ROOT) and not pem.is_pem(memoryview(ROOT))
    assert not pem.is_pem("") and not pem.is_pem(b"0") and not pem.is_pem(b"\x30\x03\x02\x01\x05")


def block(body, begin="CERTIFICATE", end="CERTIFICATE"):
    return "-----BEGIN %s-----\n%s\n-----END %s-----\n" % (begin, body, end)


# (text, code, why)
BAD = (
    ("-----BEGIN CERTIFICATE-----\nAAAA\n", "pem-armour", "no END"),
    ("AAAA\n-----END CERTIFICATE-----\n", "pem-armour", "no BEGIN"),
    ("-----BEGIN CERTIFICATE-----\nAAAA\n" + block("AAAA"), "pem-armour", "BEGIN twice"),
    (block("AAAA") + "-----END CERTIFICATE-----\n", "pem-armour", "END twice"),
    (block("AAAA", "CERTIFICATE", "PRIVATE KEY"), "pem-armour", "labels differ"),
    ("-----BEGIN CERTIFICATE\nAAAA\n-----END CERTIFICATE-----", "pem-armour", "label over the line's end"),
    (block("AAAA", "X" * 65), "pem-armour", "label of 65 characters"),
    (block("AAAA").rstrip("\n-"), "pem-armour", "END without its dashes"),
    (block(""), "pem-base64", "nothing inside"),
    (block("AAA"), "pem-base64", "no padding"),
    (block("AAAAA"), "pem-base64", "five characters"),
    (block("AA=A"), "pem-base64", "padding inside"),
    (block("AA==AAAA"), "pem-base64", "padding before the end"),
    (block("AAB="), "pem-base64", "bits that encode nothing"),
    (block("AA*AAA"), "pem-base64", "a character that decoders skip"),
    (block("AA*A"), "pem-base64", "a character that is not base64"),
    (block("AA-_"), "pem-base64", "the URL alphabet"),
    (block("Proc-Type: 4,ENCRYPTED\nDEK-Info: X,00\n\nAAAA"), "key-encrypted", "RFC 1421 headers"),
    (block("Comment: x\n\nAAAA"), "pem-base64", "another header"),
)


def test_bad_armour():
    for text, code, why in BAD:
        raises(FormatError, code, blocks, text)
    assert blocks(block("AAA=")) == [("CERTIFICATE", b"\0\0")]
    assert blocks(block("AAAA", "X" * 64, "X" * 64)) == [("X" * 64, b"\0\0\0")]


def test_other_labels_are_not_decoded():
    text = block("Proc-Type: 4,ENCRYPTED\n\nAAAA", "RSA PRIVATE KEY", "RSA PRIVATE KEY") + pem.encode(ROOT)
    assert pem.decode(text) == [ROOT]
    raises(FormatError, "key-encrypted", pem.decode, text, "RSA PRIVATE KEY")


def test_no_block_of_this_kind():
    error = raises(FormatError, "pem-none", pem.decode, BUNDLE, "X509 CRL")
    assert error.expected == "X509 CRL" and error.found == "CERTIFICATE, PRIVATE KEY"
    assert raises(FormatError, "pem-none", pem.decode, ROOT).found == "no PEM block"
    error = raises(FormatError, "pem-none", pem.first, BUNDLE, ("EC PRIVATE KEY", "X"))
    assert error.expected == "EC PRIVATE KEY" and error.found == "CERTIFICATE, PRIVATE KEY"
    # Labels are the file's own text: only so much of them is repeated.
    many = "".join([block("AAAA", "L%02d" % i + "x" * 50, "L%02d" % i + "x" * 50) for i in range(30)])
    found = raises(FormatError, "pem-none", pem.decode, many).found
    assert len(found) == 128 and found.startswith("L00xx") and found.endswith("...")


def test_requests():
    request = b"not really a request"
    for label in ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"):
        text = pem.encode(ROOT) + pem.encode(request, label)
        assert pem.decode(text, "CERTIFICATE REQUEST") == [request], label
        assert pem.decode(text, "NEW CERTIFICATE REQUEST") == [request], label
        assert pem.first(text, ("CERTIFICATE REQUEST",)) == ("CERTIFICATE REQUEST", request)
        assert blocks(text) == [("CERTIFICATE", ROOT), ("CERTIFICATE REQUEST", request)]
        found = raises(FormatError, "pem-none", pem.decode, text, "PRIVATE KEY").found
        assert found == "CERTIFICATE, CERTIFICATE REQUEST"
    mixed = block("AAAA", "NEW CERTIFICATE REQUEST", "CERTIFICATE REQUEST")
    raises(FormatError, "pem-armour", pem.decode, mixed, "CERTIFICATE REQUEST")


def test_first():
    labels = ("PRIVATE KEY", "CERTIFICATE")
    assert pem.first(BUNDLE, labels) == ("CERTIFICATE", ROOT)
    assert pem.first(BUNDLE, labels[:1]) == ("PRIVATE KEY", KEY)
    assert pem.first(memoryview(BUNDLE.encode()), labels[:1]) == ("PRIVATE KEY", KEY)
    # What comes before it need not decode, and what comes after need not even end.
    text = block("*", "OTHER", "OTHER") + BUNDLE + "-----BEGIN X-----"
    assert pem.first(text, labels) == ("CERTIFICATE", ROOT)


def test_size_limit():
    # The newlines after BEGIN and before END count too.
    fits = block("A" * 65532 + "\n")
    assert len(blocks(fits)[0][1]) == 49149
    raises(FormatError, "pem-size", blocks, block("A" * 65536))


def test_hostile_input():
    text = pem.encode(ROOT).encode()

    def check(found):
        # What decodes is what its text spells, and nothing shorter passes for the whole.
        for label, der in found:
            assert label != "CERTIFICATE" or len(der) >= len(ROOT) - 2, len(der)

    values = (0x00, 0x0A, 0x20, 0x2D, 0x3D, 0x41, 0xFF)
    good, errors = attack(blocks, text, values, 3 if ON_MICROPYTHON else 1, check)
    assert good and errors
    both = pem.encode(ROOT) + pem.encode(KEY, "PRIVATE KEY")
    raises(FormatError, "pem-armour", blocks, both[: len(both) // 2])
