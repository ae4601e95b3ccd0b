"""How the facts of a failure are told: names, dates, alerts and remedies. `verdict` has found it."""

from certstore.certificate import Certificate
from certstore.compat import const, unix_time
from certstore.dates import text
from certstore.fields import read_validity_and_subject
from certstore.names import escape, format_name

from . import errors
from .messages import alert_name, message_name
from .reading import outside_validity
from .reading import recognised as read

# Of engine.tap.Tap.figures.
_SENT = const(1)
_WEAK_RSA_BITS = const(2048)
_WEAK_EC_BITS = const(256)


def name(der):
    """A DER Name as text."""
    return format_name(der)


def moment(seconds):
    """s since 1970 as text."""
    return text(seconds)


def after(seconds):
    """The same as what is expected of a clock."""
    return "after " + text(seconds)


def stage(session):
    """The last handshake message that passed, as words."""
    reader = session.reader
    if reader is None:
        return "last message received: Certificate"
    if reader.encrypted:
        return "waiting for the peer's Finished"
    if reader.last >= 0:
        return "last message received: %s" % message_name(reader.last)
    return "ClientHello sent, nothing received" if session.figures[_SENT] else "nothing sent yet"


def alert(number):
    """(name, remedy or None) of an alert, -1 for one that cannot be read."""
    remedy = None
    if number == 40 or number == 71:
        remedy = "the server needs TLS 1.2 with ECDHE and AES-GCM (others: ciphers=), or a client certificate"
    elif number == 70:
        remedy = "the server must offer TLS 1.2"
    elif number == 112:
        remedy = "the server does not know this host name; check server_name"
    elif 41 < number < 47 or number == 48 or number == 116:
        remedy = "the server refuses this device's certificate; check identity="
    return alert_name(number) if number >= 0 else "(encrypted)", remedy


def unknown_issuer(path):
    """(found, remedy or None) for a Path that no anchor continues."""
    from certstore import mozilla

    found = "issuer " + format_name(path.top_issuer)
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
    return found, remedy


def top(path):
    """The subject of the topmost certificate of a Path."""
    return format_name(read_validity_and_subject(path.names[-1])[0]) if path.names else "a certificate"


def signed(path):
    """What is expected of the topmost certificate of a Path."""
    return "signed by " + format_name(path.top_issuer)


def not_signed(session):
    """The error for a path that ends below an anchor of the right name: what is it that mbedTLS refused?"""
    path = session.path
    lengths = [Certificate(der).path_length for der, _ in session.options.trust.issuers(path.top_issuer)]
    if not lengths:
        return errors.CertificateError("not-trusted", found="a path that breaks at " + top(path))
    below = len(path.names) - 1
    if all(length is not None and length < below for length in lengths):
        found = "%d CA certificates below %s" % (below, format_name(path.top_issuer))
        return errors.CertificateError("path-length", found=found, expected=str(max(lengths)))
    return errors.BadSignature("bad-signature", found=top(path), expected=signed(path))


def unchecked(path):
    """What was not checked above a Path."""
    return "the signature, CA flag, pathLen and key usage above %s; revocation" % top(path)


def recognised(code, path, leaf, hostname):
    """Whether our own reading of a Path shows this failure (used when mbedTLS's text did not fit)."""
    if code in ("expired", "not-yet-valid", "hostname"):
        return read(code, path, leaf, hostname)
    return leaf is not None and _is_weak(code, leaf)


def facts(code, path, leaf, hostname):
    """What was found and expected, as arguments of an error."""
    if code == "expired" or code == "not-yet-valid":
        outside = outside_validity(code, path)
        if outside is None:
            return {}
        subject, before, after = outside
        until, limit, than = ("until", after, "after ") if code == "expired" else ("from", before, "before ")
        return {
            "found": "%s, valid %s %s" % (format_name(subject), until, text(limit)),
            "expected": than + text(unix_time()),
        }
    if leaf is None:
        return {}
    subject = format_name(leaf.subject)
    if code == "hostname":
        return {"found": escape(", ".join(leaf.names) or "no name"), "expected": hostname}
    if code == "weak-key" or code == "weak-hash":
        if not _is_weak(code, leaf):
            return {"found": "a CA above " + subject}
        if code == "weak-key":
            return {"found": "%s %d bits in %s" % (leaf.key_type, leaf.key_bits or 0, subject)}
        return {"found": "%s on %s" % (leaf.signature_hash, subject)}
    if code == "pin":
        return {"found": "the server's key %s" % leaf.pin().hex(), "expected": "one of pins="}
    return {"found": subject}


def _is_weak(code, leaf):
    if code == "weak-key":
        bits = leaf.key_bits or 0
        if leaf.key_type == "RSA":
            return bits < _WEAK_RSA_BITS
        return leaf.key_type == "EC" and bits < _WEAK_EC_BITS
    return code == "weak-hash" and leaf.signature_hash in ("md5", "sha1")
