"""Writes what the documentation takes from the code: python tools/docs/generate.py

docs/errors.md from the error classes and the SENTENCES of both packages, docs/options.md from
context.OPTIONS and what stands beside it, and the short table of errors in README.md.
tests/tools/test_docs.py fails when a file differs from what this writes.
"""

import ast
import inspect
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECURESOCKET = ROOT / "lib" / "securesocket" / "securesocket"
sys.path[:0] = [str(ROOT / "lib" / name) for name in ("certstore", "securesocket")]

import securesocket.clock as clock  # noqa: E402
import securesocket.datagram_errors as datagrams  # noqa: E402
import securesocket.sentences as words  # noqa: E402
from certstore import entropy  # noqa: E402
from certstore import errors as roots  # noqa: E402
from certstore import sentences as roots_words  # noqa: E402
from securesocket import errors  # noqa: E402

MODULES = (roots, entropy, errors, clock, datagrams)

MADE = "<!-- Made by tools/docs/generate.py: change the code, then run it. -->\n"
BEGIN = "<!-- begin: made by tools/docs/generate.py -->\n"
END = "<!-- end -->\n"

# (class, code): when it happens. What the sentence says already is not said again.
WHEN = {
    (
        "SecureSocketError",
        "closed",
    ): "a read or write after close(), or after a failure that was no error of ours",
    ("ConfigurationError", "anchor"): "in the handshake, when a chain leads to this anchor",
    ("FormatError", "der-truncated"): "reading a certificate, a key or a chain",
    ("FormatError", "der-length"): "reading a certificate, a key or a chain",
    ("FormatError", "der-tag"): "reading a certificate, a key or a chain",
    ("FormatError", "der-trailing"): "reading a certificate, a key or a chain",
    ("FormatError", "der-value"): "reading a certificate, a key or a chain",
    ("FormatError", "pem-armour"): "reading trust= or identity= in PEM",
    ("FormatError", "pem-base64"): "reading trust= or identity= in PEM",
    ("FormatError", "pem-size"): "reading trust= or identity= in PEM",
    ("FormatError", "pem-none"): "reading PEM that holds blocks of other kinds only",
    ("FormatError", "certificate"): "reading trust=, identity= or what the server sent",
    ("FormatError", "key"): "reading the private key of identity=",
    ("FormatError", "key-encrypted"): "reading the private key of identity=",
    ("FormatError", "chain"): "adding an identity",
    ("FormatError", "key-plain"): "reading a private key with a password",
    ("FormatError", "key-kdf"): "reading an encrypted private key",
    ("FormatError", "iterations"): "reading or writing an encrypted private key",
    ("StoreError", "store-version"): "opening a store",
    ("StoreError", "store-full"): "building a store",
    ("StoreError", "store-size"): "building a store",
    ("StoreError", "store-ski"): "building a store",
    ("StoreError", "store-missing"): "opening a store by its path",
    ("StoreError", "store-file"): "opening or reading a store's file",
    (
        "StoreError",
        "store-read-only",
    ): "changing a store in memory, in ROMFS, or in a read-only file system",
    ("StoreError", "store-write"): "changing a store",
    ("StoreError", "store-exists"): "making an empty store",
    ("StoreError", "store-tag"): "replacing a store that has a `tag_key`",
    ("StoreError", "store-older"): "replacing a store",
    ("StoreError", "store-future"): "replacing a store, where the clock is set",
    ("StoreError", "identity-exists"): "building a store, adding an identity",
    ("StoreError", "identity-label"): "building a store, adding an identity",
    ("StoreError", "identity-password"): "adding an identity",
    ("StoreError", "identity-locked"): "making a context with an identity of a locked store",
    ("StoreError", "identity-many"): "finding an identity by subject or SKI",
    ("CorruptStore", "store-magic"): "opening a store",
    ("CorruptStore", "store-truncated"): "opening or reading a store",
    ("CorruptStore", "store-header"): "opening a store",
    ("CorruptStore", "store-record"): "finding a certificate, or checking the whole store",
    ("CorruptStore", "store-index"): "opening a store, finding in it, or checking all of it",
    ("CorruptStore", "store-check"): "checking the whole store, once before a miss in it is believed",
    ("MissingPackage", "package"): "asking for what an optional package does, where it is not installed",
    ("EntropyError", "entropy-absent"): "connecting, making a key, a salt or a nonce",
    ("EntropyError", "entropy-weak"): "the same; the random source is tried once after each start",
    ("BadPassword", "password"): "opening an encrypted private key",
    ("NotFound", "not-found"): "asking a store for a certificate by SKI or number",
    ("ConfigurationError", "address"): "making a socket",
    ("ConfigurationError", "option-unknown"): "making a context or a socket",
    ("ConfigurationError", "option-value"): "making a context or a socket",
    ("ConfigurationError", "option-conflict"): "making a context or a socket",
    ("ConfigurationError", "server-name"): "wrapping a stream without server_hostname=",
    ("ConfigurationError", "no-store"): "making a context without trust=",
    ("ConfigurationError", "trust-empty"): "making a context",
    ("ConfigurationError", "identity"): "making a context with identity=",
    ("ConfigurationError", "identity-mismatch"): "making a context with identity=",
    ("ConfigurationError", "cipher"): "making a context with ciphers=",
    ("UnsupportedFeature", "feature"): "asking for an option or a side that the engine does not have",
    ("UnsupportedFeature", "tls13"): "in the handshake, at ServerHello",
    (
        "UnsupportedFeature",
        "no-certificate",
    ): "in the handshake: a Certificate message that is empty or malformed, "
    "or none that mbedTLS has verified",
    ("UnsupportedFeature", "fragmented"): "in the handshake, with mbedTLS before 3.6.3",
    ("UnsupportedFeature", "reconnect"): "wrapping a stream with on_bad_certificate=",
    ("UnsupportedFeature", "dtls-cookies"): "DtlsServer.bind",
    ("UnsupportedFeature", "host-clock"): "set_clock() on a port without machine.RTC, after all checks",
    ("MemoryBudgetError", "memory-budget"): "before connecting, and in wrap_socket: unless budget=None",
    ("MemoryBudgetError", "memory"): "making the TLS context, or in the handshake",
    (
        "MemoryBudgetError",
        "memory-verify",
    ): "mbedTLS found the chain not signed while less heap was free than it needs to tell",
    (
        "MemoryBudgetError",
        "server-memory",
    ): 'at a server, before a client gets a session; with when_full="wait" at its deadline',
    ("HandshakeTimeout", "timeout"): "connecting or in the handshake; `stage` tells which",
    ("HandshakeError", "resolve"): "resolving the host",
    ("HandshakeError", "connect"): "connecting; every address was tried",
    ("HandshakeError", "connection-lost"): "the stream raised an OSError in the handshake",
    ("HandshakeError", "peer-closed"): "in the handshake",
    ("HandshakeError", "alert"): "in the handshake; `alert` is its number",
    ("HandshakeError", "not-tls"): "in the handshake: the bytes are no TLS record",
    ("HandshakeError", "parameters"): "in the handshake",
    ("HandshakeError", "protocol"): "in the handshake",
    ("HandshakeError", "signature"): "in the handshake, at ServerKeyExchange",
    ("HandshakeError", "engine"): "in the handshake, for a reason that has no code of its own",
    ("HandshakeError", "stream"): "the stream raised something other than an OSError in the handshake",
    ("HandshakeError", "early-bytes"): "wrapping a stream of which there is something to read already",
    ("HandshakeError", "bind"): "making a server",
    (
        "HandshakeError",
        "displaced",
    ): "at a server, with `max_handshakes` begun, or 32 KB of ClientHellos that are not whole",
    ("HandshakeError", "server-full"): 'at a server with when_full="refuse"',
    (
        "HandshakeError",
        "certificate-limit",
    ): "in the handshake: more than 10 certificates, or a message longer than 16384 bytes",
    ("CertificateError", "not-trusted"): "mbedTLS refused the chain, and none of the other codes fits alone",
    ("CertificateError", "usage"): "keyUsage or extendedKeyUsage of the server's certificate",
    ("CertificateError", "client-certificate"): "at a server that requires one",
    ("CertificateError", "client-usage"): "keyUsage or extendedKeyUsage of a client's certificate",
    ("CertificateError", "path-length"): "the pathLen of the trust anchor",
    (
        "CertificateError",
        "verification-off",
    ): "never raised: `authorization_error` of a connection with verify=False",
    ("CertificateError", "not-checked"): "never raised: in `failures`, where on_bad_certificate sees it",
    ("CertificateError", "leaf-changed"): "on the second connection, after on_bad_certificate said True",
    ("UnknownIssuer", "unknown-issuer"): "no certificate of the chain has an anchor",
    ("Expired", "expired"): "any certificate of the path",
    ("NotYetValid", "not-yet-valid"): "any certificate of the path",
    (
        "ClockNotSet",
        "clock-not-set",
    ): "before connecting: the clock is before the store's build time, or before "
    "the notBefore of a certificate in trust=",
    ("HostnameMismatch", "hostname"): "the server's certificate names neither the host nor server_name=",
    ("BadSignature", "bad-signature"): "an anchor has the issuer's name, but none with it signed the chain",
    ("WeakKey", "weak-key"): "any certificate of the path",
    ("WeakKey", "weak-hash"): "any certificate of the path",
    ("PinMismatch", "pin"): "pins= are given, and the verified path has none of their keys",
    ("ClockError", "clock-value"): "setting the clock",
    ("ClockError", "clock-floor"): "setting the clock, unless forced",
    ("ClockError", "clock-jump"): "setting the clock, unless forced",
    ("ClockError", "sntp-network"): "resolving the time server, or sending to it",
    ("ClockError", "sntp-timeout"): "asking a time server, twice; what carries another nonce is no answer",
    ("ClockError", "sntp-refused"): "an answer of stratum 0; its four letters are in `found`",
    ("ClockError", "sntp-unset"): "an answer of stratum 16 and more, or with leap indicator 3",
    ("ClockError", "sntp-answer"): "an answer of another mode or version, or without a time",
    ("DatagramError", "receive-timeout"): "recv() and receive() with timeout_ms=; the connection goes on",
    ("DatagramError", "accept-timeout"): "accept() and recv() of a DtlsServer",
    ("DatagramError", "datagram-size"): "send(); nothing was sent, and the connection goes on",
    ("DatagramError", "datagram-truncated"): "recv() and recv_into(); the connection goes on",
    ("DatagramError", "datagram-bind"): "DtlsClient.bind, DtlsServer.bind",
    ("DatagramError", "datagram-port"): "DtlsClient.connect",
    ("DatagramError", "datagram-closed"): "send(), after the peer's close_notify",
    ("DatagramError", "datagram-ended"): "after a fatal alert of the peer, or an error of the socket",
    ("DatagramError", "peer-idle"): "using a server's connection after idle_timeout_ms",
    ("DatagramError", "peer-replaced"): "using a server's connection whose peer has come again",
}

# What README.md shows of it: what users meet.
SHORT = (
    ("UnknownIssuer", "unknown-issuer"),
    ("BadSignature", "bad-signature"),
    ("Expired", "expired"),
    ("NotYetValid", "not-yet-valid"),
    ("ClockNotSet", "clock-not-set"),
    ("HostnameMismatch", "hostname"),
    ("WeakKey", "weak-key"),
    ("PinMismatch", "pin"),
    ("CertificateError", "usage"),
    ("MemoryBudgetError", "memory-budget"),
    ("MemoryBudgetError", "memory"),
    ("HandshakeError", "connect"),
    ("HandshakeError", "parameters"),
    ("HandshakeError", "alert"),
    ("HandshakeError", "not-tls"),
    ("HandshakeTimeout", "timeout"),
    ("UnsupportedFeature", "tls13"),
    ("ConfigurationError", "no-store"),
)


def classes():
    """Every error class with its module, in the order of the sources."""
    found = []
    for module in MODULES:
        for value in vars(module).values():
            is_error = inspect.isclass(value) and issubclass(value, roots.SecureSocketError)
            if is_error and value.__module__ == module.__name__:
                found.append(value)
    return found


def codes(kind):
    """[(code, sentence, remedy or None)] of a class."""
    known = dict(roots_words.SENTENCES + words.SENTENCES)
    return known[kind.__name__]


def number(kind, code):
    """The errno that an error of this class and code has."""
    return next(number for number, names in kind.numbers if names is None or code in names.split())


def rows():
    """{(class name, code): (errno name, sentence, remedy or None)}"""
    names = {
        value: name[1:]
        for module in MODULES
        for name, value in vars(module).items()
        if name.startswith("_E") and isinstance(value, int)
    }
    return {
        (kind.__name__, code): (names[number(kind, code)], sentence, remedy)
        for kind in classes()
        for code, sentence, remedy in codes(kind)
    }


def cell(text):
    """Text for a cell of a table."""
    return " ".join((text or "").split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def table(head, lines):
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(out + ["| " + " | ".join(line) + " |" for line in lines]) + "\n"


def errors_page():
    known = rows()
    parts = [
        MADE,
        "# Errors\n\n"
        "Every error is a `SecureSocketError`, which is an `OSError`: `errno` is a number that other\n"
        "code can compare, `code` is the stable name of the cause, and `str(error)` says what was found,\n"
        "what was expected and the remedy. The facts stand in `found`, `expected` and `remedy`; a remedy\n"
        "that depends on what was found replaces the usual one below. Sentences and remedies come with\n"
        "`securesocket-explain`; without it an error has its class, code and bare facts. The classes are\n"
        "names of the package: `from securesocket import Expired`.\n\n"
        "An error before the end of the handshake closes the connection, and each further call raises\n"
        "it again. After the handshake, reads and writes are those of MicroPython's `tls`: what goes\n"
        "wrong then is a plain `OSError`.\n",
    ]
    parts.append("```\n" + tree(roots.SecureSocketError) + "```\n")
    for kind in classes():
        parts.append(f"## {kind.__name__}\n\n{paragraph(kind.__doc__)}\n")
        lines = []
        for code, *_ in codes(kind):
            number, sentence, remedy = known[kind.__name__, code]
            when = WHEN.get((kind.__name__, code), "")
            lines.append([f"`{code}`", number, cell(sentence), cell(remedy), cell(when)])
        parts.append(table(["code", "errno", "sentence", "usual remedy", "when"], lines))
    return "\n".join(parts)


def tree(kind, depth=0):
    below = [found for found in classes() if found.__bases__ == (kind,)]
    return "  " * depth + kind.__name__ + "\n" + "".join(tree(found, depth + 1) for found in below)


def paragraph(text):
    return inspect.cleandoc(text).replace("*", "\\*")


def errors_short():
    known = rows()
    lines = [
        [f"`{kind}`", f"`{code}`", cell(known[kind, code][1]), cell(known[kind, code][2])]
        for kind, code in SHORT
    ]
    return table(["class", "code", "sentence", "usual remedy"], lines)


def constants(path, *names):
    """Values that a module assigns at its top, without importing it (the engine needs `tls`)."""
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) in names:
            value = node.value
            if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "const":
                value = value.args[0]
            found[node.targets[0].id] = ast.literal_eval(value)
    return [found[name] for name in names]


def options_page():
    path = SECURESOCKET / "context.py"
    options, needed = constants(path, "OPTIONS", "FEATURES")
    takes = dict(words.TAKES)
    module, files, rom, changes = constants(
        SECURESOCKET / "stores.py", "STORE_MODULE", "STORE_FILES", "ROM_FILE", "CHANGES"
    )
    features, ciphers = constants(SECURESOCKET / "engine" / "stock.py", "FEATURES", "DEFAULT_CIPHERS")
    certificates, message = constants(
        SECURESOCKET / "handshake.py", "MAX_CERTIFICATES", "MAX_CERTIFICATE_MESSAGE"
    )
    timeout = constants(SECURESOCKET / "socket.py", "DEFAULT_TIMEOUT_MS")[0]
    lines = []
    for name in options:
        there = "yes" if name not in needed or name in features else "no: raises `UnsupportedFeature`"
        lines.append([f"`{name}`", cell(takes[name]), there])
    return "\n".join(
        [
            MADE,
            "# Options\n\n"
            "`SecureContext(**options)`, and the dictionary `secure` of `SecureSocket(host, port, secure)`,\n"
            "`SecureSocket.open` and `SecureSocket.wrap`, take these. They are checked when the context is\n"
            "made; an option that is not in the table raises `ConfigurationError`.\n",
            table(["option", "what it takes", "on MicroPython's own tls module"], lines),
            "## Where the store is looked for\n\n"
            "Without `trust`: the files "
            + ", ".join(f"`{file}`" for file in files)
            + f", then the module `{module}` with\nthe store as `DATA`, then `{rom}`. The first that "
            f"exists is used, and opened once, with\n`{changes}` above it if that exists. "
            "[stores.md](stores.md) has more.\n",
            "## Cipher suites\n\n"
            "Without `ciphers`, these, in this order; others that the build has, by name:\n\n"
            + "".join(f"- `{name}`\n" for name in ciphers),
            "## Limits\n\n"
            + table(
                ["limit", "value"],
                [
                    ["certificates that a server sends", f"{certificates}"],
                    ["its Certificate message", f"{message} bytes"],
                    ["`timeout_ms`, unless it is given", f"{timeout} ms"],
                ],
            ),
        ]
    )


def readme():
    """README.md with its table of errors made anew."""
    text = (ROOT / "README.md").read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + errors_short() + END + after


def pages():
    """{path: text} of all that is generated."""
    return {
        ROOT / "docs" / "errors.md": errors_page(),
        ROOT / "docs" / "options.md": options_page(),
        ROOT / "README.md": readme(),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
