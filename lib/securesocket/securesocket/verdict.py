"""From what mbedTLS answered to what went wrong: one typed error with the facts.

Loaded when a handshake failed, or when more than a verified path has to hold. Nothing here makes a refusal
smaller: every function returns or raises errors; the one that can pass a connection (judge) is asked after
mbedTLS has said yes, or where the caller has said, by name, that its no does not count.

What went wrong is told apart here, and put into words by `wording`, which is optional.
"""

from certstore.certificate import Certificate
from certstore.compat import const, unix_time
from certstore.errors import part

from . import errors
from .trust import ITSELF

# mbedTLS error numbers (mbedtls/ssl.h, x509.h), as MicroPython raises them: -number.
_FATAL_ALERT = const(0x7780)
_CA_CHAIN_REQUIRED = const(0x7680)
_VERIFY_FAILED = const(0x2700)
_HIGH_LEVEL = const(0x7F80)
_ENOMEM = const(12)
# The last message that is read before mbedTLS verifies, when there is no reader.
_CERTIFICATE = const(11)

# Allocation failures of mbedTLS's modules: high-level codes, then low-level ones. The latter arrive as
# if they were an errno (16, 106), because MicroPython takes every number below 256 for one.
_ALLOCATION = (0x7F00, 0x2880, 0x3F80, 0x4D80, 0x5180, 0x6180, 0x5080, 0x1180)
_ALLOCATION_LOW = (0x10, 0x6A)

# (class, code, error numbers)
_ENGINE = (
    ("HandshakeError", "peer-closed", (0x7280,)),
    # SSL_HANDSHAKE_FAILURE, SSL_BAD_PROTOCOL_VERSION
    ("HandshakeError", "parameters", (0x6E00, 0x6E80)),
    # SSL_ILLEGAL_PARAMETER, SSL_DECODE_ERROR, SSL_UNEXPECTED_MESSAGE, SSL_INVALID_RECORD, SSL_INVALID_MAC
    ("HandshakeError", "protocol", (0x6600, 0x7300, 0x7700, 0x7200, 0x7180)),
    # RSA_VERIFY_FAILED, ECP_VERIFY_FAILED
    ("HandshakeError", "signature", (0x4380, 0x4E00)),
    # SSL_BAD_CERTIFICATE: the path is good, its use is not
    ("CertificateError", "usage", (0x7A00,)),
)

# What mbedtls_x509_crt_verify_info writes, one line a reason, in the order in which they are reported.
_REASONS = (
    ("correctly signed by the trusted CA", "BadSignature", "bad-signature"),
    ("unacceptable hash", "WeakKey", "weak-hash"),
    ("unacceptable key", "WeakKey", "weak-key"),
    ("unacceptable PK", "WeakKey", "weak-key"),
    ("has expired", "Expired", "expired"),
    ("starts in the future", "NotYetValid", "not-yet-valid"),
    ("expected CN", "HostnameMismatch", "hostname"),
    ("Usage does not match", "CertificateError", "usage"),
)

# Codes that mean: no path to an anchor was verified.
_UNANCHORED = ("unknown-issuer", "bad-signature", "path-length", "not-trusted")


def _tell(what, *about):
    """A fact in words; None where `wording` is not installed: then codes and bare numbers have to do."""
    words = part("securesocket.wording")
    return getattr(words, what)(*about) if words else None


def _stage(session):
    reader = session.reader
    return _tell("stage", session) or "handshake message %d" % (reader.last if reader else _CERTIFICATE)


def _facts(code, path, leaf, hostname):
    if code == "hostname" and leaf is not None:
        return _tell("facts", code, path, leaf, hostname) or {"expected": hostname}
    return _tell("facts", code, path, leaf, hostname) or {}


def explain_start(error):
    """The typed error for what kept a session from being made; `error` itself where there is none."""
    if _number(error) == _ENOMEM:
        return errors.MemoryBudgetError("memory")
    if isinstance(error, ValueError):
        # "invalid key", "invalid cert": mbedTLS cannot use what certstore could read.
        return errors.ConfigurationError("identity", found=str(error))
    return error


def anchor_refused(der, had_room):
    """The error for an anchor that mbedTLS did not take, with or without the memory for it."""
    if not had_room:
        return errors.MemoryBudgetError("memory", found="the trust anchor")
    return errors.ConfigurationError("anchor", found=_tell("name", Certificate(der).subject))


def explain(session, error):
    """The typed error for `error`, which ended the session's handshake (None: it ended without one)."""
    if session.error is not None:
        return _own(session.error, session)
    if isinstance(error, errors.SecureSocketError):
        return error
    if isinstance(error, ValueError):
        return _certificate(session, str(error))
    number = _number(error)
    stage = _stage(session)
    if number == _ENOMEM:
        return errors.MemoryBudgetError("memory", found=stage)
    number = -number if number < 0 else number
    if number == _VERIFY_FAILED or number == _CA_CHAIN_REQUIRED:
        return _certificate(session, None)
    if number == _FATAL_ALERT:
        return _alert(session, stage)
    for kind, code, known in _ENGINE:
        if number & _HIGH_LEVEL in known:
            break
    else:
        kind, code = "HandshakeError", "peer-closed" if session.closed_by_peer or error is None else "engine"
        if code == "engine" and session.path.short_of_heap:
            # Some failed allocations have no number of their own (PK_INVALID_PUBKEY is one).
            return errors.MemoryBudgetError("memory", found=stage)
    if kind == "CertificateError":
        leaf = Certificate(session.path.leaf) if session.path.leaf is not None else None
        return _with(errors.CertificateError(code, **_facts(code, session.path, leaf, None)), leaf)
    found = stage
    if number and code == "engine":
        found = "mbedTLS error -0x%04X (%s), %s" % (number, error.args[-1], found)
    direction = None
    alert = None
    if session.alert_sent >= 0:
        alert, direction = session.alert_sent, "sent"
        found += ", alert %s sent" % (_tell("alert", alert) or (alert,))[0]
    return errors.HandshakeError(code, found=found, alert=alert, direction=direction, stage=stage)


def _own(error, session):
    """An error of ours, or of the stream, that was kept while mbedTLS ran."""
    if isinstance(error, errors.SecureSocketError):
        return error
    stage = _stage(session)
    if isinstance(error, MemoryError):
        return errors.MemoryBudgetError("memory", found=stage)
    if isinstance(error, OSError):
        return errors.HandshakeError("connection-lost", found="%s, %s" % (error, stage), stage=stage)
    return errors.HandshakeError("stream", found="%r, %s" % (error, stage), stage=stage)


def _number(error):
    """The number of an exception, mbedTLS's or an errno: _ENOMEM for all that mean it, 0 for none."""
    if isinstance(error, MemoryError):
        return _ENOMEM
    number = error.args[0] if isinstance(error, OSError) and error.args else 0
    if not isinstance(number, int):
        return 0
    if 0 < number < 256:
        allocation = number in _ALLOCATION_LOW
    else:
        allocation = -number & _HIGH_LEVEL in _ALLOCATION or -number & ~_HIGH_LEVEL in _ALLOCATION_LOW
    return _ENOMEM if allocation else number


def _alert(session, stage):
    number = session.reader.alert if session.reader else -1
    name, remedy = _tell("alert", number) or (number, None)
    return errors.HandshakeError(
        "alert",
        found="%s, %s" % (name, stage),
        remedy=remedy,
        alert=number if number >= 0 else None,
        direction="received",
        stage=stage,
    )


def _with(error, certificate):
    error.certificate = certificate
    return error


def _certificate(session, text):
    """mbedTLS refused the certificate. text: its reasons; None if it gave none (they did not fit)."""
    path = session.path
    options = session.options
    hostname = session.hostname
    leaf = Certificate(path.leaf) if path.leaf is not None else None
    failures = []
    unread = False
    if text is None and session.anchor_source and path.short_of_heap:
        return errors.MemoryBudgetError("memory-verify")
    for fragment, kind, code in _REASONS:
        if text is not None:
            stated = fragment in text
        elif code == "bad-signature":
            stated = not session.anchor_source
        else:
            stated = _tell("recognised", code, path, leaf, hostname)
            unread = unread or stated is None
        if stated and not (failures and failures[-1].code == code):  # two of mbedTLS's words for one code
            failure = getattr(errors, kind)(code, **_facts(code, path, leaf, hostname))
            failures.append(_unsigned(session) if code == "bad-signature" else failure)
    if not failures or (text is None and session.anchor_source):
        # More reasons than fit into mbedTLS's text, or one that it does not name.
        failures.insert(0, errors.CertificateError("not-trusted", found=text))
    if unread:
        # What cannot be told counts as a reason: nobody is asked to accept less than all there may be.
        failures.append(errors.CertificateError("not-trusted", found="key, hash unread"))
    if options.pins and not path.pinned:
        failures.append(errors.PinMismatch("pin", **_facts("pin", path, leaf, hostname)))
    if failures[0].code in _UNANCHORED:
        failures.append(
            errors.CertificateError(
                "not-checked",
                found=_tell("unchecked", path),
            )
        )
    first = failures[0]
    if isinstance(first, errors.MemoryBudgetError):
        return first
    for failure in failures:
        failure.certificate = leaf
    first.failures = tuple(failures)
    return first


def _unsigned(session):
    """The path ends at no anchor: is there none, did it not sign, or was there no memory to tell?"""
    path = session.path
    if session.anchor_source and path.short_of_heap:
        return errors.MemoryBudgetError("memory-verify")
    if path.top_issuer is None:
        return errors.CertificateError("not-trusted", found=_stage(session))
    if not session.anchor_source:
        aki = path.top_aki
        found, remedy = _tell("unknown_issuer", path) or (aki and "AKI " + aki.hex(), None)
        return errors.UnknownIssuer("unknown-issuer", found=found, remedy=remedy)
    return _tell("not_signed", session) or errors.BadSignature("bad-signature")


def judge(session):
    """Raises unless the verified path is what the caller asked for. mbedTLS has said yes already, or was
    told by verify=False, trust=None or an accepted leaf that its no does not count."""
    path = session.path
    options = session.options
    if not path.complete:
        raise session.error or errors.UnsupportedFeature("no-certificate")
    leaf = Certificate(path.leaf) if path.leaf is not None else None
    if session.accepted_leaf is not None:
        if not path.accepted:
            raise _with(errors.CertificateError("leaf-changed"), leaf)
        return
    if not options.verify:
        return
    if options.trust is not None:
        if session.anchor_source == ITSELF:
            part("securesocket.reading", "securesocket-options").judge_exact(leaf, session, _facts)
        elif not session.anchor_source:
            raise _with(errors.CertificateError("not-trusted"), leaf)
    if options.pins and not path.pinned:
        raise _with(errors.PinMismatch("pin", **_facts("pin", path, leaf, session.hostname)), leaf)


def clock_not_set(floor):
    """The error for a clock before `floor` (seconds since 1970): no date can be judged."""
    now = unix_time()
    return errors.ClockNotSet(
        "clock-not-set",
        found=_tell("moment", now) or now,
        expected=_tell("after", floor) or floor,
    )
