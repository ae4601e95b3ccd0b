"""securesocket.verdict: every outcome of mbedTLS becomes one typed error with the facts."""

import securesocket.trust as trust
import securesocket.verdict as verdict
from certstore import anchors
from certstore.asn1 import encode
from certstore.certificate import Certificate
from certstore.compat import unix_time
from certstore.store import CertStore
from securesocket import errors
from securesocket.handshake import HandshakeReader
from securesocket.path import Path
from securesocket.trust import TrustSet
from support import UTC, certificate_der, common_name, extension, made, raises

CA = extension(19, b"\x30\3\1\1\xff", b"\1\1\xff")
ROOT_NAME = common_name(b"Root")
ROOT = made(name=ROOT_NAME, extensions=(CA,))
NOT_TRUSTED = "The certificate is not correctly signed by the trusted CA\n"
EXPIRED = "The certificate validity has expired\n"
FUTURE = "The certificate validity starts in the future\n"
WRONG_HOST = "The certificate Common Name (CN) does not match with the expected CN\n"
WEAK_KEY = "The certificate is signed with an unacceptable key (eg bad curve, RSA too short).\n"
WEAK_HASH = "The certificate is signed with an unacceptable hash.\n"
USAGE = "Usage does not match the extendedKeyUsage extension\n"


class Options:
    verify = True
    pins = ()
    on_bad_certificate = None

    def __init__(self, trust_set):
        self.trust = trust_set


class Session:
    """What an engine's session shows of itself."""

    error = None
    alert_sent = -1
    figures = (0, 100)
    closed_by_peer = False
    anchor_source = "store"
    accepted_leaf = None
    hostname = "localhost"

    def __init__(self, *chain, pins=()):
        self.reader = HandshakeReader()
        self.path = Path()
        self.options = Options(TrustSet((CertStore(anchors.build((ROOT,), 1700000000)),), ()))
        self.options.pins = pins
        for depth in range(len(chain) - 1, -1, -1):
            self.path.add(chain[depth], depth, pins, False)


def issued_by_root(**how):
    """A leaf whose issuer is ROOT; `made` writes one name twice, so the issuer is put in afterwards."""
    leaf = made(name=common_name(b"leaf"), **how)
    name = common_name(b"leaf")
    at = leaf.index(name)
    body = leaf[:at] + ROOT_NAME + leaf[at + len(name) :]
    # Same length of names: no header changes.
    assert len(ROOT_NAME) == len(name)
    return body


LEAF = issued_by_root()


def explained(error, *chain, **how):
    return verdict.explain(Session(*(chain or (LEAF,)), **how), error)


def is_error(error, kind, code):
    assert type(error) is kind and error.code == code, repr(error)
    return error


def test_each_reason_of_mbedtls_has_its_error():
    expired = issued_by_root(times=UTC + encode(0x17, b"510101000000Z"))
    rows = (
        (NOT_TRUSTED, errors.BadSignature, "bad-signature", LEAF),
        (EXPIRED, errors.Expired, "expired", expired),
        (FUTURE, errors.NotYetValid, "not-yet-valid", LEAF),
        (WRONG_HOST, errors.HostnameMismatch, "hostname", LEAF),
        (WEAK_KEY, errors.WeakKey, "weak-key", LEAF),
        (WEAK_HASH, errors.WeakKey, "weak-hash", LEAF),
        (USAGE, errors.CertificateError, "usage", LEAF),
        ("Other reason (can be used by verify callback)\n", errors.CertificateError, "not-trusted", LEAF),
    )
    for text, kind, code, leaf in rows:
        error = is_error(explained(ValueError("\n" + text), leaf), kind, code)
        assert error.certificate.der == leaf
        assert error.failures[0] is error


def test_all_reasons_are_failures_the_missing_path_first():
    error = explained(ValueError(WRONG_HOST + NOT_TRUSTED + WEAK_KEY))
    codes = [failure.code for failure in error.failures]
    assert codes == ["bad-signature", "weak-key", "hostname", "not-checked"]
    assert "revocation" in error.failures[-1].found


def test_a_reason_that_did_not_fit_is_read_from_the_path():
    # mbedTLS's text is cut off by MicroPython at 256 bytes: then there is only the number.
    long_ago = issued_by_root(times=UTC + encode(0x17, b"510101000000Z"))
    session = Session(long_ago)
    error = is_error(verdict.explain(session, OSError(-0x2700, "x")), errors.CertificateError, "not-trusted")
    assert [failure.code for failure in error.failures] == [
        "not-trusted",
        "expired",
        "hostname",
        "not-checked",
    ]


def test_no_anchor_names_the_issuer_and_what_to_do():
    session = Session(LEAF)
    session.anchor_source = None
    error = is_error(verdict.explain(session, OSError(-0x7680, "x")), errors.UnknownIssuer, "unknown-issuer")
    assert "CN=Root" in error.found
    assert "SHA-256" in error.remedy


def test_a_missing_root_of_mozilla_is_offered_by_its_key_identifier():
    ski = bytes.fromhex("79b459e67bb6e5e40173800888c81a58f6e99b6e")  # ISRG Root X1
    leaf = issued_by_root(extensions=(extension(35, encode(0x30, encode(0x80, ski))),))
    session = Session(leaf)
    session.anchor_source = None
    error = verdict.explain(session, OSError(-0x7680, "x"))
    assert "store add 79b459e67bb6e5e40173800888c81a58f6e99b6e" in error.remedy
    assert "AKI 79b459e6" in error.found


def test_a_root_sent_along_is_offered_with_its_fingerprint_and_never_by_itself():
    stranger = certificate_der("self_signed_device")
    session = Session()
    session.path.unanchored = True
    session.path.add(stranger, 0, (), False)
    session.anchor_source = None
    error = verdict.explain(session, OSError(-0x7680, "x"))
    assert Certificate(stranger).fingerprint().hex() in error.remedy
    assert "not one of Mozilla's roots" in error.remedy


def test_too_deep_a_path_is_told_from_a_bad_signature():
    root = made(name=ROOT_NAME, extensions=(extension(19, b"\x30\6\1\1\xff\2\1\0", b"\1\1\xff"),))
    session = Session(LEAF, issued_by_root(serial=b"\2\1\2"))
    session.options.trust = TrustSet((), (root,))
    error = verdict.explain(session, ValueError(NOT_TRUSTED))
    is_error(error, errors.CertificateError, "path-length")


def test_not_signed_with_too_little_heap_to_tell_is_a_lack_of_memory():
    session = Session(LEAF)
    session.path.short_of_heap = True
    is_error(verdict.explain(session, ValueError(NOT_TRUSTED)), errors.MemoryBudgetError, "memory-verify")


def test_every_lack_of_memory_is_one_error():
    rows = (
        MemoryError(),
        OSError(12),  # SSL_ALLOC_FAILED
        OSError(16),  # MPI_ALLOC_FAILED, which arrives as EBUSY
        OSError(106),  # ASN1_ALLOC_FAILED, which arrives as EISCONN
        OSError(-0x2880, "X509_ALLOC_FAILED"),
        OSError(-0x3F80, "PK_ALLOC_FAILED"),
        OSError(-0x4D80, "ECP_ALLOC_FAILED"),
        OSError(-0x4290, "RSA_PUBLIC_FAILED+MPI_ALLOC_FAILED"),
        OSError(-0x236A, "X509_INVALID_NAME+ASN1_ALLOC_FAILED"),
    )
    for error in rows:
        is_error(explained(error), errors.MemoryBudgetError, "memory")


def test_each_number_of_mbedtls_has_its_error():
    for kind, code, numbers in verdict._ENGINE:
        for number in numbers:
            is_error(explained(OSError(-number, "x")), getattr(errors, kind), code)
    error = is_error(explained(OSError(-0x7100, "BAD_INPUT_DATA")), errors.HandshakeError, "engine")
    assert "-0x7100" in error.found and "BAD_INPUT_DATA" in error.found
    is_error(explained(None), errors.HandshakeError, "peer-closed")


def test_alerts_are_named_with_their_direction_and_stage():
    session = Session(LEAF)
    session.reader.alert = 40
    error = is_error(verdict.explain(session, OSError(-0x7780, "x")), errors.HandshakeError, "alert")
    assert (error.alert, error.direction) == (40, "received")
    assert "handshake_failure" in error.found and error.remedy
    session = Session(LEAF)
    session.alert_sent = 48
    error = verdict.explain(session, OSError(-0x6600, "x"))
    assert (error.alert, error.direction) == (48, "sent") and "unknown_ca" in error.found


def test_what_the_tap_kept_comes_before_what_mbedtls_says():
    session = Session(LEAF)
    session.error = kept = errors.HandshakeTimeout("timeout", "handshake", 100)
    assert verdict.explain(session, OSError(5)) is kept
    session.error = OSError(104)
    is_error(verdict.explain(session, OSError(5)), errors.HandshakeError, "connection-lost")
    session.error = MemoryError()
    is_error(verdict.explain(session, OSError(5)), errors.MemoryBudgetError, "memory")
    session.error = KeyError("x")
    is_error(verdict.explain(session, OSError(5)), errors.HandshakeError, "stream")


def test_a_missing_pin_is_one_of_the_failures():
    error = explained(ValueError(NOT_TRUSTED), pins=(b"p" * 32,))
    assert "pin" in [failure.code for failure in error.failures]


def test_judge_passes_a_verified_path_and_no_other():
    verdict.judge(Session(LEAF))
    unanchored = Session(LEAF)
    unanchored.anchor_source = None
    raises(errors.CertificateError, "not-trusted", verdict.judge, unanchored)
    raises(errors.UnsupportedFeature, "no-certificate", verdict.judge, Session())
    raises(errors.PinMismatch, "pin", verdict.judge, Session(LEAF, pins=(b"p" * 32,)))
    verdict.judge(Session(LEAF, pins=(Certificate(LEAF).pin(),)))


def test_judge_takes_only_the_leaf_that_was_accepted():
    session = Session(LEAF)
    session.accepted_leaf = LEAF
    raises(errors.CertificateError, "leaf-changed", verdict.judge, session)
    session.path.accepted = True
    verdict.judge(session)


def test_judge_checks_host_and_dates_of_an_exact_certificate():
    def exact(leaf, hostname):
        session = Session(leaf)
        session.anchor_source = trust.ITSELF
        session.path.accepted = True
        session.hostname = hostname
        return session

    leaf = certificate_der("leaf")
    good = exact(leaf, "example.com")
    if Certificate(leaf).not_before <= unix_time() <= Certificate(leaf).not_after:
        verdict.judge(good)
    raises(errors.HostnameMismatch, "hostname", verdict.judge, exact(leaf, "example.org"))
    expired = issued_by_root(times=UTC + encode(0x17, b"510101000000Z"))
    raises(errors.Expired, "expired", verdict.judge, exact(expired, "leaf"))
    other = exact(leaf, "example.com")
    other.path.accepted = False
    raises(errors.CertificateError, "not-trusted", verdict.judge, other)
    forgotten = exact(leaf, "example.com")
    forgotten.path.leaf = None
    raises(errors.MemoryBudgetError, "memory-verify", verdict.judge, forgotten)


def test_an_attackers_names_are_escaped_and_cut():
    nasty = common_name(b"\x1b[31mred\xe2\x80\xae" + b"x" * 90)
    leaf = made(name=nasty)
    session = Session(leaf)
    session.anchor_source = None
    text = repr(verdict.explain(session, OSError(-0x7680, "x")))
    assert "\x1b" not in text and "\u202e" not in text
    assert len(text) < 600
