"""Our own reading of what a server showed: dates and host name, where mbedTLS's word is not to be had.

It decides about a certificate that is trusted for itself, and tells further reasons of a refusal.
"""

from certstore.compat import unix_time
from certstore.fields import read_validity_and_subject
from certstore.hosts import covers

from . import errors

# (class, code) of what can be recognised.
_CHECKS = (
    ("Expired", "expired"),
    ("NotYetValid", "not-yet-valid"),
    ("HostnameMismatch", "hostname"),
)


def recognised(code, path, leaf, hostname):
    """Whether the certificates of a Path show the failure of this code."""
    if code == "hostname":
        return leaf is not None and hostname is not None and not covers(leaf, hostname)
    return outside_validity(code, path) is not None


def outside_validity(code, path):
    """(DER Name, notBefore, notAfter) of the first one that is "expired" or "not-yet-valid", or None."""
    now = unix_time()
    for der in path.names:
        found = read_validity_and_subject(der)
        if now > found[2] if code == "expired" else now < found[1]:
            return found
    return None


def judge_exact(leaf, session, facts):
    """Raises unless a certificate that is trusted itself, not for its issuer, has equal bytes, and dates and
    host name are right. facts: `verdict`'s."""
    path = session.path
    if leaf is None:
        raise errors.MemoryBudgetError("memory-verify")
    if not path.accepted:
        raise errors.CertificateError("not-trusted", certificate=leaf)
    for kind, code in _CHECKS:
        if recognised(code, path, leaf, session.hostname):
            error = getattr(errors, kind)(code, **facts(code, path, leaf, session.hostname))
            error.certificate = leaf
            raise error
