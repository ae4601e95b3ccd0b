"""How the facts of a failure are told without `wording`, which has the same functions: in numbers."""

from hashlib import sha256

from certstore.compat import const
from certstore.subjects import common_names

_CERTIFICATE = const(11)
_SHOWN = const(64)


def name(der):
    # The most specific common name, in printable ASCII.
    found = common_names(der)
    if not found:
        return "a name without CN"
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in found[-1][:_SHOWN])


def moment(seconds):
    return "%d s since 1970" % seconds


def stage(session):
    reader = session.reader
    return "after handshake message %d" % (reader.last if reader else _CERTIFICATE)


def alert(number):
    return "alert %d" % number, None


def unknown_issuer(path):
    found = "issuer " + name(path.top_issuer)
    if path.top_aki:
        found += ", AKI " + path.top_aki.hex()
    return found, None


def top(path):
    return "certificate %d" % (len(path.names) - 1)


def recognised(code, path, leaf, hostname):
    # None: nothing here can tell.
    return None


def facts(code, path, leaf, hostname):
    if leaf is None:
        return {}
    if code == "hostname":
        return {"expected": hostname}
    if code == "pin":
        return {"found": "the server's key %s" % sha256(leaf.public_key_info).digest().hex()}
    return {"found": name(leaf.subject)}
