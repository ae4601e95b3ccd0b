"""The anchors that an application's hosts need: each host is connected to, verified, and asked nothing.

Verified, by OpenSSL: the chain, up to one of the certificates given; its dates; the host name.
Not verified: revocation, and that the host shows the same chain to others, with another version of TLS, or
tomorrow.
"""

import _ssl
import concurrent.futures
import dataclasses
import pathlib
import socket
import ssl
import sys

from rich.console import Console
from rich.progress import Progress

from certstore import names
from certstore.der import Der

from .entries import Entry
from .errors import CommandError, about

DEFAULT_PORT = 443
# For a connection to be made, and again for each answer in the handshake.
TIMEOUT_S = 10
_AT_ONCE = 8

_OID = 0x06
_SEQUENCE = 0x30
_SET = 0x31
_ORGANIZATION = b"\x55\x04\x0a"


@dataclasses.dataclass(frozen=True)
class Host:
    name: str
    port: int

    def __str__(self):
        name = names.escape(self.name)
        return f"[{name}]:{self.port}" if ":" in name else f"{name}:{self.port}"


@dataclasses.dataclass(frozen=True)
class Result:
    """The anchor that a host's verified chain ends at, or else the reason why there is none."""

    host: Host
    entry: Entry | None
    reason: str | None

    def facts(self):
        ski = self.entry.ski.hex() if self.entry else None
        return {"host": self.host.name, "port": self.host.port, "ski": ski, "error": self.reason}


def read_hosts(path):
    """The Hosts of a file: in each line "host" or "host:port", an IPv6 address in brackets; "#" comments."""
    with about(path):
        try:
            lines = pathlib.Path(path).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise CommandError(f"{path}: this is not a text file") from None
    found = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if text:
            try:
                found.append(parse_host(text))
            except ValueError:
                raise CommandError(
                    f'{path}, line {number}: found "{names.escape(text)}", expected host or host:port'
                ) from None
    if not found:
        raise CommandError(f"{path}: no host in it, expected lines of host or host:port")
    return list(dict.fromkeys(found))


def parse_host(text):
    """A Host; ValueError if the text is none."""
    name, _, port = text.rpartition(":") if _has_port(text) else (text, "", str(DEFAULT_PORT))
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    elif ":" in name:
        raise ValueError(name)
    if not name or set(name) & set("[]/@ \t") or not (port.isascii() and port.isdigit()):
        raise ValueError(text)
    if not 1 <= int(port) <= 65535:
        raise ValueError(port)
    return Host(name, int(port))


def _has_port(text):
    return ":" in text.rpartition("]")[2]


def connect(hosts, pool):
    """A Result for each host, in order; verified against the entries of `pool`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # As on a device: whatever is in its store is an anchor, self-signed or not.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=b"".join(entry.der for entry in pool))
    by_der = {entry.der: entry for entry in pool}
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as workers:
        results = workers.map(lambda host: _result(host, context, by_der), hosts)
        return list(_tracked(results, len(hosts)))


def _tracked(results, total):
    # A bar on a terminal only.
    bar = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with bar:
        yield from bar.track(results, total, description="connecting")


def _result(host, context, by_der):
    # The chain ends at its first certificate that is trusted; behind a leaf that is, there may be others.
    try:
        chain = _verified_chain(host, context)
        return Result(host, next(by_der[der] for der in chain if der in by_der), None)
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message.removesuffix(".")
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).replace("_", " ").lower()
    except TimeoutError:
        reason = f"no answer in {TIMEOUT_S} s"
    except UnicodeError:
        reason = "this is no host name"
    except OSError as error:
        reason = error.strerror or str(error)
    return Result(host, None, names.escape(reason))


def _verified_chain(host, context):
    # The chain that OpenSSL verified, as DER, from the leaf to the anchor.
    with (
        socket.create_connection((host.name, host.port), TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=host.name) as stream,
    ):
        if sys.version_info >= (3, 13):
            return stream.get_verified_chain()
        # What that method calls; before 3.13 it has no other name.
        return [one.public_bytes(_ssl.ENCODING_DER) for one in stream._sslobj.get_verified_chain()]


def spares(chosen, pool):
    """The other roots of Mozilla's in `pool` that the operators of the chosen ones have.

    An operator is the organizationName of a subject, by its letters and digits, case aside.
    """
    operators = {operator(entry) for entry in chosen if entry.mozilla} - {""}
    return [e for e in pool if e.mozilla and e not in chosen and operator(e) in operators]


def operator(entry):
    """What an entry's organizationName comes to; "" without one."""
    text = _organization(bytes(entry.certificate.subject)).decode("utf-8", "replace").casefold()
    return "".join(filter(str.isalnum, text))


def _organization(name):
    walk = Der(name)
    walk.expect(_SEQUENCE)
    walk.enter()
    while not walk.done():
        walk.expect(_SET)
        outer = walk.enter()
        while not walk.done():
            walk.expect(_SEQUENCE)
            inner = walk.enter()
            walk.expect(_OID)
            kind = walk.content()
            walk.expect()
            if kind == _ORGANIZATION:
                return walk.content()
            walk.leave(inner)
        walk.leave(outer)
    return b""
