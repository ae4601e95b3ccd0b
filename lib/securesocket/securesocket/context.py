"""Options, checked once, that make connections; stands in for tls.SSLContext.

OPTIONS is the one table of what may be asked: the checks, the errors and docs/options.md read it; what each
takes is told by `sentences.TAKES`.
"""

from certstore.compat import const, unix_time
from certstore.errors import SecureSocketError, part

_SHA256_BYTES = const(32)

OPTIONS = (
    "trust",
    "verify",
    "on_bad_certificate",
    "pins",
    "identity",
    "ciphers",
    "min_version",
    "max_version",
    "server_name",
    "alpn",
    "max_fragment_length",
    "psk",
    "tickets",
    "connection_id",
    "now",
    "trace",
    "budget",
    "reserve",
)
# Those that need a feature of the engine, of the same name.
FEATURES = ("alpn", "max_fragment_length", "psk", "tickets", "connection_id", "now")


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
        self.ciphers = options.get("ciphers")
        if self.ciphers is not None:
            self.ciphers = _more().ciphers(self.ciphers, _engine().cipher_names())
        if "min_version" in options or "max_version" in options:
            _more().check_versions(options)
        if self.verify is not True and self.verify is not False:
            raise refused("verify", repr(self.verify), "True or False")
        if self.on_bad_certificate is not None:
            # Told now, and not when there is a certificate to decide about.
            part("securesocket.again", "securesocket-options").check(self.on_bad_certificate)
        if self.server_name is not None:
            self.server_name = _host_name(self.server_name)
        self.trace = options.get("trace")
        if self.trace is not None and self.trace is not False:
            # What makes the tracer of a connection.
            self.trace = part("securesocket.trace", "securesocket-trace").maker(self.trace)
        self.budget = options.get("budget", "raise")
        self.reserve = options.get("reserve", 0)
        if "budget" in options or "reserve" in options:
            part("securesocket.budget", "securesocket-budget").check_options(self.budget, self.reserve)
        self._sources = self._trust_sources(options) if self.verify else None
        self._trust_set = None
        self.identity = options.get("identity")
        if self.identity is not None:
            # One in a store is looked for in those that are trusted here, else in that of this device.
            stores = self._sources[0] if self._sources is not None else ()
            identity = part("securesocket.identity", "securesocket-identity")
            self.identity = identity.find(self.identity, lambda: stores or (_trusted(),))

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
        if "trust" not in options:
            self._in_flash = True
            return ((_trusted(),), ())
        wanted = options["trust"]
        # A CertStore, or one in layers; what else there may be is read by `options`.
        if hasattr(wanted, "find_subject") and len(wanted):
            return ((wanted,), ())
        return _more().sources(wanted, self)

    def __repr__(self):
        guide = part("securesocket.guide")
        return guide.describe_context(self) if guide else "<SecureContext>"

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
            self._ask_budget(name)
            return name
        if name is None:
            from .errors import ConfigurationError

            raise ConfigurationError("server-name")
        floor = trust.floor()
        if unix_time() < floor:
            from .verdict import clock_not_set

            raise clock_not_set(floor)
        self._ask_budget(name)
        return name

    def _ask_budget(self, name):
        budget = self.budget and part("securesocket.budget")
        if budget:
            budget.check(self, name)

    def wrap_socket(self, sock, *, server_side=False, server_hostname=None, do_handshake_on_connect=True):
        """A SecureSocket over `sock`, as tls.SSLContext.wrap_socket gives; takes its place wherever
        MicroPython takes an ssl context. Options, clock and names are checked here; with
        do_handshake_on_connect=False the handshake runs inside the first reads and writes. A socket gets
        TCP_NODELAY; on failure it is closed."""
        from .stream import SecureStream

        try:
            if server_side:
                raise refused("server_side", "True", "a ServerContext")
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


def _more():
    # Options that few give; what reads them is large.
    return part("securesocket.options", "securesocket-options")


def _engine():
    from .engine import engine

    return engine


def unsupported(name):
    from .errors import UnsupportedFeature

    return UnsupportedFeature("feature", found=name)


def refused(name, found, expected):
    """The error for an option's value."""
    from .errors import ConfigurationError

    return ConfigurationError("option-value", found="%s=%s" % (name, found), expected=expected)


def _check_names(options):
    for name, value in options.items():
        if name not in OPTIONS:
            from .errors import ConfigurationError

            raise ConfigurationError("option-unknown", found=name, expected=", ".join(OPTIONS))
        if name in FEATURES and value is not None and name not in _engine().FEATURES:
            raise unsupported(name)
    if options.get("verify") is False:
        _more().check_unverified(options)


def _host_name(name):
    """A name as bytes cannot be compared with certificates, and a NUL would cut it short in C."""
    if (
        not isinstance(name, str)
        or not name
        or len(name) > 253
        or any(not "!" <= char <= "~" for char in name)
    ):
        raise refused("server_name", repr(name), "an ASCII host name (xn-- for others) or an IP address")
    return name[:-1] if name.endswith(".") else name


def _pins(values):
    if values is None:
        return ()
    if not isinstance(values, (list, tuple, set)):
        values = (values,)
    # As bytes, or as text that `options` reads.
    return tuple(
        value if isinstance(value, bytes) and len(value) == _SHA256_BYTES else _more().pin(value)
        for value in values
    )


def _trusted():
    from .stores import trusted

    return trusted()
