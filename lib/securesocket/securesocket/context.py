"""Options, checked once, that make connections; stands in for tls.SSLContext.

OPTIONS is the one table of what may be asked: the checks, the errors and docs/options.md read it.
"""

from certstore.compat import const, unix_time
from certstore.errors import SecureSocketError

_TLS_1_2 = const(0x0303)
_TLS_1_3 = const(0x0304)
_SHA256_BYTES = const(32)
# A longer label, subject or SKI does not exist; whoever gives a key here is not told what it was.
_MAX_QUERY = const(128)

_VERSIONS = (("TLSv1.0", 0x0301), ("TLSv1.1", 0x0302), ("TLSv1.2", _TLS_1_2), ("TLSv1.3", _TLS_1_3))


# (name, what it takes, the engine's feature that it needs or None)
OPTIONS = (
    ("trust", "a CertStore, certificates in DER or PEM, a list of these; None with pins", None),
    ("verify", "True, or False to turn verification off", None),
    ("on_bad_certificate", "callable(certificate, failures) -> True to accept", None),
    ("pins", "SHA-256 of public key infos, 32 bytes, hex or base64", None),
    (
        "identity",
        "(certificate chain, private key), DER or PEM; or label, subject or SKI of one in a store",
        None,
    ),
    ("ciphers", "names of cipher suites, in order of preference", None),
    ("min_version", '"TLSv1.2" or 0x0303', None),
    ("max_version", '"TLSv1.2" or 0x0303', None),
    ("server_name", "the name to verify and to send (SNI), where it is not the host", None),
    ("alpn", "protocol names (RFC 7301)", "alpn"),
    ("max_fragment_length", "512, 1024, 2048 or 4096 (RFC 6066 4)", "max_fragment_length"),
    ("psk", "(identity, key) (RFC 4279)", "psk"),
    ("now", "callable() -> seconds since 1970", "now"),
)

_DEFAULT = object()


class SecureContext:
    """SecureContext(**options): see OPTIONS. Raises ConfigurationError, UnsupportedFeature, FormatError,
    StoreError. Reusable for any number of connections; holds no TLS state and nothing per root."""

    # Whether it trusts the store in flash, which may change.
    _in_flash = False

    def __init__(self, **options):
        _check_names(options)
        self.verify = options.get("verify", True)
        self.on_bad_certificate = options.get("on_bad_certificate")
        self.server_name = options.get("server_name")
        self.pins = _pins(options.get("pins"))
        self.ciphers = _ciphers(options.get("ciphers"))
        _versions(options)
        if self.verify is not True and self.verify is not False:
            raise _refused("verify", repr(self.verify), "True or False")
        if self.on_bad_certificate is not None and not callable(self.on_bad_certificate):
            raise _refused("on_bad_certificate", repr(self.on_bad_certificate), "a callable")
        if self.server_name is not None:
            self.server_name = _host_name(self.server_name)
        self._sources = self._trust_sources(options) if self.verify else None
        self._trust_set = None
        self.identity = self._identity(options.get("identity"))

    def _identity(self, value):
        if value is None:
            return None
        if isinstance(value, (str, bytes)) and len(value) <= _MAX_QUERY and "-----" not in str(value):
            # In the stores that are trusted here, else in that of this device.
            stores = self._sources[0] if self._sources is not None else ()
            return _private_identity(stores or (_trusted(),), value)
        from .identity import load

        return load(value)

    @property
    def trust(self):
        """The trust.TrustSet, or None for pins alone and for verify=False. Made for the first connection:
        what it needs of certstore costs several KB of RAM."""
        if self._in_flash and _trusted() is not self._sources[0][0]:
            # The first change of the store in flash has made layers of it.
            self._sources = ((_trusted(),), ())
            self._trust_set = None
        if self._trust_set is None and self._sources is not None:
            from .trust import TrustSet

            self._trust_set = TrustSet(*self._sources)
        return self._trust_set

    def _trust_sources(self, options):
        wanted = options.get("trust", _DEFAULT)
        if wanted is None:
            if not self.pins:
                raise _conflict("trust=None without pins=", "pins, or a trust set")
            if self.on_bad_certificate:
                raise _conflict("trust=None with on_bad_certificate=", "a trust set")
            return None
        if wanted is not _DEFAULT:
            return _sources(wanted)
        self._in_flash = True
        return ((_trusted(),), ())

    def __repr__(self):
        if not self.verify:
            return "<SecureContext verification off>"
        return "<SecureContext %s%s%s>" % (
            "pins only" if self._sources is None else "verified",
            ", %d pins" % len(self.pins) if self.pins else "",
            ", with identity" if self.identity else "",
        )

    def check(self, server_hostname):
        """The server's name to use, after the checks that come before any connection. Raises ClockNotSet,
        ConfigurationError, EntropyError."""
        from certstore.entropy import check

        check()
        name = self.server_name or server_hostname
        if name is not None:
            name = _host_name(name)
        trust = self.trust
        if trust is None:
            return name
        if name is None:
            from .errors import ConfigurationError

            raise ConfigurationError("server-name")
        floor = trust.floor()
        if unix_time() < floor:
            from .verdict import clock_not_set

            raise clock_not_set(floor)
        return name

    def wrap_socket(self, sock, *, server_side=False, server_hostname=None, do_handshake_on_connect=True):
        """A SecureSocket over `sock`, as tls.SSLContext.wrap_socket gives; takes its place wherever
        MicroPython takes an ssl context. Options, clock and names are checked here; with
        do_handshake_on_connect=False the handshake runs inside the first reads and writes. A socket gets
        TCP_NODELAY; on failure it is closed."""
        from .stream import SecureStream, refuse_second_connection

        try:
            if server_side:
                raise unsupported("server_side")
            refuse_second_connection(self)
            secured = SecureStream(self, server_hostname)
        except SecureSocketError:
            # As CPython does: asyncio has no other way to get rid of the socket.
            sock.close()
            raise
        # From here on the SecureStream closes it.
        if do_handshake_on_connect:
            secured._take(sock, None)
        else:
            secured._start(sock, False)
        return secured


def _engine():
    from .engine import engine

    return engine


def unsupported(name):
    from .errors import UnsupportedFeature

    return UnsupportedFeature("feature", found=name)


def _refused(name, found, expected):
    from .errors import ConfigurationError

    return ConfigurationError("option-value", found="%s=%s" % (name, found), expected=expected)


def _conflict(found, expected):
    from .errors import ConfigurationError

    return ConfigurationError("option-conflict", found=found, expected=expected)


def _check_names(options):
    for name, value in options.items():
        for known, _, feature in OPTIONS:
            if name == known:
                if feature is not None and value is not None and feature not in _engine().FEATURES:
                    raise unsupported(name)
                break
        else:
            from .errors import ConfigurationError

            raise ConfigurationError(
                "option-unknown", found=name, expected=", ".join(row[0] for row in OPTIONS)
            )
    if options.get("verify") is False:
        for name in ("trust", "pins", "on_bad_certificate"):
            if options.get(name) is not None:
                raise _conflict("verify=False with %s=" % name, "one of them")


def _versions(options):
    """TLS 1.2 is what this engine speaks: a range that leaves it out is refused, not narrowed."""
    for name in ("min_version", "max_version"):
        value = options.get(name)
        if value is None:
            continue
        for text, number in _VERSIONS:
            if value == text or value == number:
                break
        else:
            raise _refused(name, repr(value), ", ".join(text for text, _ in _VERSIONS))
        if (number > _TLS_1_2) if name == "min_version" else (number < _TLS_1_2):
            raise unsupported("%s=%s" % (name, text))


def _ciphers(names):
    if names is None:
        return None
    if isinstance(names, str):
        names = names.split(":")
    if not isinstance(names, (list, tuple)):
        raise _refused("ciphers", repr(names), "names of cipher suites")
    known = _engine().cipher_names()
    chosen = []
    for name in names:
        normal = name.replace("_", "-") if isinstance(name, str) else None
        if normal not in known:
            from .errors import ConfigurationError

            raise ConfigurationError(
                "cipher", found=name, expected="a name as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
            )
        chosen.append(normal)
    if not chosen:
        raise _refused("ciphers", "an empty list", "at least one name")
    return chosen


def _host_name(name):
    """A name as bytes cannot be compared with certificates, and a NUL would cut it short in C."""
    if (
        not isinstance(name, str)
        or not name
        or len(name) > 253
        or any(not "!" <= char <= "~" for char in name)
    ):
        raise _refused("server_name", repr(name), "an ASCII host name (xn-- for others) or an IP address")
    return name[:-1] if name.endswith(".") else name


def _pins(values):
    if values is None:
        return ()
    if not isinstance(values, (list, tuple, set)):
        values = (values,)
    pins = []
    for value in values:
        pin = _pin(value)
        if pin is None:
            raise _refused(
                "pins", repr(value), "SHA-256 of a public key info: 32 bytes, 64 hex digits or base64"
            )
        pins.append(pin)
    return tuple(pins)


def _pin(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value) if len(value) == _SHA256_BYTES else None
    if not isinstance(value, str):
        return None
    import binascii

    text = value[7:] if value.startswith("sha256/") or value.startswith("sha256:") else value
    try:
        if len(text) == 2 * _SHA256_BYTES:
            return binascii.unhexlify(text)
        pin = binascii.a2b_base64(text)
    except ValueError:
        return None
    return pin if len(pin) == _SHA256_BYTES else None


def _private_identity(stores, query):
    from certstore.errors import NotFound

    for store in stores[:-1]:
        try:
            return store.private_identity(query)
        except NotFound:
            continue
    return stores[-1].private_identity(query)


def _trusted():
    from .stores import trusted

    return trusted()


def _is_bytes(value):
    return isinstance(value, (bytes, bytearray, memoryview))


def _sources(wanted):
    """(stores, DER certificates) of what trust= was given; each certificate is read once, to refuse here."""
    from certstore import pem
    from certstore.certificate import Certificate

    stores = []
    certificates = []
    for item in wanted if isinstance(wanted, (list, tuple)) else (wanted,):
        if hasattr(item, "find_subject"):
            # A CertStore, or one in layers.
            stores.append(item)
        elif isinstance(item, str) or _is_bytes(item):
            certificates += pem.decode(item, "CERTIFICATE") if pem.is_pem(item) else [item]
        else:
            raise _refused("trust", repr(type(item)), OPTIONS[0][1])
    for der in certificates:
        # Whether it may issue, the trust set asks with every connection; a broken one is refused here.
        _ = Certificate(der).may_issue
    if not any(len(store) for store in stores) and not certificates:
        from .errors import ConfigurationError

        raise ConfigurationError("trust-empty")
    return stores, certificates
