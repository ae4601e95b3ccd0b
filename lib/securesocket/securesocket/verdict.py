"""From what mbedTLS answered to what went wrong: one typed error with the facts.

Loaded when a handshake failed, or when more than a verified path has to hold. Nothing here makes a refusal
smaller: every function returns or raises errors; the one that can pass a connection (judge) is asked after
mbedTLS has said yes, or where the caller has said, by name, that its no does not count.
"""

from certstore.certificate import Certificate, read_validity_and_subject
from certstore.compat import const, unix_time
from certstore.names import format_name
from certstore.times import text

from . import errors
from .handshake import alert_name, message_name
from .trust import ITSELF

# mbedTLS error numbers (mbedtls/ssl.h, x509.h), as MicroPython raises them: -number.
_FATAL_ALERT = const(0x7780)
_CA_CHAIN_REQUIRED = const(0x7680)
_VERIFY_FAILED = const(0x2700)
_HIGH_LEVEL = const(0x7F80)
_ENOMEM = const(12)

# Allocation failures of mbedTLS's modules: high-level codes, then low-level ones. The latter arrive as
# if they were an errno (16, 106), because MicroPython takes every number below 256 for one.
_ALLOCATION = (0x7F00, 0x2880, 0x3F80, 0x4D80, 0x5180, 0x6180, 0x5080, 0x1180)
_ALLOCATION_LOW = (0x10, 0x6A)

# (error number, class, code)
_ENGINE = (
    (0x7280, "HandshakeError", "peer-closed"),
    (0x6E00, "HandshakeError", "parameters"),  # SSL_HANDSHAKE_FAILURE
    (0x6E80, "HandshakeError", "parameters"),  # SSL_BAD_PROTOCOL_VERSION
    (0x6600, "HandshakeError", "protocol"),  # SSL_ILLEGAL_PARAMETER
    (0x7300, "HandshakeError", "protocol"),  # SSL_DECODE_ERROR
    (0x7700, "HandshakeError", "protocol"),  # SSL_UNEXPECTED_MESSAGE
    (0x7200, "HandshakeError", "protocol"),  # SSL_INVALID_RECORD
    (0x7180, "HandshakeError", "protocol"),  # SSL_INVALID_MAC
    (0x7A00, "CertificateError", "usage"),  # SSL_BAD_CERTIFICATE: the path is good, its use is not
    (0x4380, "HandshakeError", "signature"),  # RSA_VERIFY_FAILED
    (0x4E00, "HandshakeError", "signature"),  # ECP_VERIFY_FAILED
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

_WEAK_RSA_BITS = const(2048)


def explain_start(error):
    """The typed error for what kept a session from being made; `error` itself where there is none."""
    if isinstance(error, MemoryError):
        return errors.MemoryBudgetError("memory", found="no room for a session")
    if isinstance(error, OSError) and error.args and isinstance(error.args[0], int):
        if error.args[0] == _ENOMEM or _is_allocation(error.args[0]):
            return errors.MemoryBudgetError("memory", found="no room for a session")
    if isinstance(error, ValueError):
        # "invalid key", "invalid cert": mbedTLS cannot use what certstore could read.
        return errors.ConfigurationError("identity", found=str(error))
    return error


def anchor_refused(der, had_room):
    """The error for an anchor that mbedTLS did not take, with or without the memory for it."""
    if not had_room:
        return errors.MemoryBudgetError("memory", found="no room for the trust anchor")
    return errors.ConfigurationError("anchor", found=format_name(Certificate(der).subject))


def explain(session, error):
    """The typed error for `error`, which ended the session's handshake (None: it ended without one)."""
    if session.error is not None:
        return _own(session.error, session)
    if isinstance(error, errors.SecureSocketError):
        return error
    if isinstance(error, ValueError):
        return _certificate(session, str(error))
    if isinstance(error, MemoryError):
        return errors.MemoryBudgetError("memory")
    number = error.args[0] if isinstance(error, OSError) and error.args else 0
    if not isinstance(number, int):
        number = 0
    if number == _ENOMEM or _is_allocation(number):
        return errors.MemoryBudgetError("memory", found=_stage(session))
    number = -number if number < 0 else number
    if number == _VERIFY_FAILED or number == _CA_CHAIN_REQUIRED:
        return _certificate(session, None)
    if number == _FATAL_ALERT:
        return _alert(session)
    for known, kind, code in _ENGINE:
        if number & _HIGH_LEVEL == known:
            break
    else:
        kind, code = "HandshakeError", "peer-closed" if session.closed_by_peer or error is None else "engine"
    if kind == "CertificateError":
        leaf = Certificate(session.path.leaf) if session.path.leaf is not None else None
        return _with(errors.CertificateError(code, **_facts(code, session.path, leaf, None)), leaf)
    found = _stage(session)
    if number and code == "engine":
        found = "mbedTLS error -0x%04X (%s), %s" % (number, error.args[-1], found)
    direction = None
    alert = None
    if session.alert_sent >= 0:
        alert, direction = session.alert_sent, "sent"
        found += ", alert %s sent" % alert_name(alert)
    return errors.HandshakeError(code, found=found, alert=alert, direction=direction, stage=_stage(session))


def _own(error, session):
    """An error of ours, or of the stream, that was kept while mbedTLS ran."""
    if isinstance(error, errors.SecureSocketError):
        return error
    if isinstance(error, MemoryError):
        return errors.MemoryBudgetError("memory", found=_stage(session))
    if isinstance(error, OSError):
        return errors.HandshakeError(
            "connection-lost", found="%s, %s" % (error, _stage(session)), stage=_stage(session)
        )
    return errors.HandshakeError("stream", found="%r, %s" % (error, _stage(session)), stage=_stage(session))


def _is_allocation(number):
    if 0 < number < 256:
        return number in _ALLOCATION_LOW
    number = -number
    return number & _HIGH_LEVEL in _ALLOCATION or number & ~_HIGH_LEVEL in _ALLOCATION_LOW


def _stage(session):
    """The last handshake message that passed, as words."""
    reader = session.reader
    if reader is None:
        return "last message received: Certificate"
    if reader.encrypted:
        return "waiting for the server's Finished"
    if reader.last >= 0:
        return "last message received: %s" % message_name(reader.last)
    if session.last_sent >= 0:
        return "%s sent, nothing received" % message_name(session.last_sent)
    return "nothing sent yet"


def _alert(session):
    number = session.reader.alert if session.reader else -1
    name = alert_name(number) if number >= 0 else "(encrypted)"
    remedy = None
    if number == 40 or number == 71:
        remedy = "the server needs TLS 1.2 with ECDHE and AES-GCM (others: ciphers=), or a client certificate"
    elif number == 70:
        remedy = "the server must offer TLS 1.2"
    elif number == 112:
        remedy = "the server does not know this host name; check server_name"
    elif 41 < number < 47 or number == 48 or number == 116:
        remedy = "the server refuses this device's certificate; check identity="
    return errors.HandshakeError(
        "alert",
        found="%s, %s" % (name, _stage(session)),
        remedy=remedy,
        alert=number if number >= 0 else None,
        direction="received",
        stage=_stage(session),
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
    for fragment, kind, code in _REASONS:
        if text is not None:
            stated = fragment in text
        elif code == "bad-signature":
            stated = not session.anchor_source
        else:
            stated = _recognised(code, path, leaf, hostname)
        if stated and not (failures and failures[-1].code == code):  # two of mbedTLS's words for one code
            failure = getattr(errors, kind)(code, **_facts(code, path, leaf, hostname))
            failures.append(_unsigned(session) if code == "bad-signature" else failure)
    if not failures or (text is None and session.anchor_source):
        # More reasons than fit into mbedTLS's text, or one that it does not name.
        failures.insert(0, errors.CertificateError("not-trusted", found=text))
    if options.pins and not path.pinned:
        failures.append(errors.PinMismatch("pin", **_facts("pin", path, leaf, hostname)))
    if failures[0].code in _UNANCHORED:
        failures.append(
            errors.CertificateError(
                "not-checked",
                found="the signature, CA flag, pathLen and key usage above %s; revocation"
                % _subject(path, -1),
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
    if path.top_issuer is None:
        return errors.CertificateError("not-trusted", found=_stage(session))
    issuer = format_name(path.top_issuer)
    if not session.anchor_source:
        return _unknown_issuer(path, issuer)
    if path.short_of_heap:
        return errors.MemoryBudgetError("memory-verify")
    intermediates = len(path.names) - 1
    lengths = [Certificate(der).path_length for der, _ in session.options.trust.issuers(path.top_issuer)]
    if not lengths:
        return errors.CertificateError("not-trusted", found="a path that breaks at %s" % _subject(path, -1))
    if all(length is not None and length < intermediates for length in lengths):
        return errors.CertificateError(
            "path-length",
            found="%d CA certificates below %s" % (intermediates, issuer),
            expected=str(max(lengths)),
        )
    return errors.BadSignature("bad-signature", found=_subject(path, -1), expected="signed by " + issuer)


def _unknown_issuer(path, issuer):
    from certstore import mozilla

    found = "issuer " + issuer
    if path.top_aki:
        found += ", AKI " + path.top_aki.hex()
    remedy = None
    if path.top_aki and mozilla.has(path.top_aki):
        remedy = (
            "it is one of Mozilla's roots: securesocket store add %s, then securesocket store push"
            % path.top_aki.hex()
        )
    elif path.top_fingerprint:
        remedy = (
            "not one of Mozilla's roots; if it is your own CA, compare its SHA-256 %s with its owner"
            " and pass its file as trust=" % path.top_fingerprint.hex()
        )
    return errors.UnknownIssuer("unknown-issuer", found=found, remedy=remedy)


def _subject(path, depth):
    return format_name(read_validity_and_subject(path.names[depth])[0]) if path.names else "a certificate"


def _recognised(code, path, leaf, hostname):
    """Whether our own reading of the path shows this failure (used when mbedTLS's text did not fit)."""
    if code == "expired" or code == "not-yet-valid":
        return _outside_validity(code, path) is not None
    if code == "hostname":
        return leaf is not None and hostname is not None and not leaf.matches_host(hostname)
    return leaf is not None and _is_weak(code, leaf)


def _is_weak(code, leaf):
    if code == "weak-key":
        bits = leaf.key_bits or 0
        return bits < _WEAK_RSA_BITS if leaf.key_type == "RSA" else leaf.key_type == "EC" and bits < 256
    return code == "weak-hash" and leaf.signature_hash in ("md5", "sha1")


def _outside_validity(code, path):
    now = unix_time()
    for der in path.names:
        found = read_validity_and_subject(der)
        if now > found[2] if code == "expired" else now < found[1]:
            return found
    return None


def _facts(code, path, leaf, hostname):
    if code == "expired" or code == "not-yet-valid":
        outside = _outside_validity(code, path)
        if outside is None:
            return {}
        name, before, after = outside
        words, limit, than = ("until", after, "after ") if code == "expired" else ("from", before, "before ")
        return {
            "found": "%s, valid %s %s" % (format_name(name), words, text(limit)),
            "expected": than + text(unix_time()),
        }
    if leaf is None:
        return {}
    if code == "hostname":
        return {"found": _host_names(leaf), "expected": hostname}
    if code == "weak-key":
        found = "%s %d bits in %s" % (leaf.key_type, leaf.key_bits or 0, format_name(leaf.subject))
        return {"found": found if _is_weak(code, leaf) else "a CA above " + format_name(leaf.subject)}
    if code == "weak-hash":
        found = "%s on %s" % (leaf.signature_hash, format_name(leaf.subject))
        return {"found": found if _is_weak(code, leaf) else "a CA above " + format_name(leaf.subject)}
    if code == "pin":
        return {"found": "the server's key %s" % leaf.pin().hex(), "expected": "one of pins="}
    return {"found": format_name(leaf.subject)}


def _host_names(leaf):
    from certstore.names import escape

    return escape(", ".join(leaf.names) or "no name")


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
            _judge_exact(leaf, session)
        elif not session.anchor_source:
            raise _with(errors.CertificateError("not-trusted"), leaf)
    if options.pins and not path.pinned:
        raise _with(errors.PinMismatch("pin", **_facts("pin", path, leaf, session.hostname)), leaf)


def _judge_exact(leaf, session):
    """A certificate that is trusted itself, not for its issuer: equal bytes, dates and host name."""
    path = session.path
    if leaf is None:
        raise errors.MemoryBudgetError("memory-verify")
    if not path.accepted:
        raise _with(errors.CertificateError("not-trusted"), leaf)
    for kind, code in (
        ("Expired", "expired"),
        ("NotYetValid", "not-yet-valid"),
        ("HostnameMismatch", "hostname"),
    ):
        if _recognised(code, path, leaf, session.hostname):
            raise _with(getattr(errors, kind)(code, **_facts(code, path, leaf, session.hostname)), leaf)


def clock_not_set(floor):
    """The error for a clock before `floor` (seconds since 1970): no date can be judged."""
    return errors.ClockNotSet("clock-not-set", found=text(unix_time()), expected="after " + text(floor))
