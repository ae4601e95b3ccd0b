"""The options of a server, checked once; its identities, and which of them a client asks for by name."""

from certstore.certificate import Certificate
from certstore.compat import const, unix_time

from .accepted import AcceptedStream
from .context import SecureContext, refused, unsupported
from .engine.serving import Serving, anchors
from .errors import ConfigurationError
from .identity import find
from .server_budget import needs
from .trust import TrustSet

# What a client may be asked for. "optional" needs an engine that tells its verdict.
REQUESTS = ("none", "optional", "required")
# Options that only a client can mean.
_CLIENT_ONLY = ("verify", "on_bad_certificate", "server_name")
# Those that need a client's certificate.
_OF_CLIENTS = ("trust", "pins")

# Each anchor for clients is held parsed, about 1 KB of heap, and named in every CertificateRequest, which has
# to fit in one record of 4 KB (MBEDTLS_SSL_OUT_CONTENT_LEN).
MAX_ANCHORS = const(16)
_MAX_HOST_NAME = const(253)
_MAX_LABEL = const(63)


class ServerContext(SecureContext):
    """ServerContext(identity=..., **options): what makes server connections; also where MicroPython takes an
    ssl context for a server (asyncio.start_server). Holds a tls.SSLContext for each identity.

    identity: (certificate chain, private key), or label, subject or SKI of one in the store in flash.
    request_client_certificate: "none"; "required": trust= names the CAs whose certificates are taken (never
    the store in flash by itself: a public CA does not know who may use a device). ciphers, pins, trace,
    budget, reserve as of SecureContext.

    Raises ConfigurationError, UnsupportedFeature, ClockNotSet, StoreError.
    """

    def __init__(self, *, request_client_certificate="none", reject_unauthorized=True, **options):
        if request_client_certificate not in REQUESTS:
            raise refused(
                "request_client_certificate", repr(request_client_certificate), '"none" or "required"'
            )
        if request_client_certificate == "optional":
            raise unsupported("request_client_certificate=optional")
        if reject_unauthorized is not True:
            if reject_unauthorized is not False:
                raise refused("reject_unauthorized", repr(reject_unauthorized), "True or False")
            raise unsupported("reject_unauthorized=False")
        for name in _CLIENT_ONLY:
            if options.get(name) is not None:
                raise refused(name, repr(options[name]), "none: a client's option")
        self.request_client_certificate = request_client_certificate
        if request_client_certificate == "none":
            for name in _OF_CLIENTS:
                if options.get(name) is not None:
                    raise ConfigurationError(
                        "option-conflict",
                        found='%s= with request_client_certificate="none"' % name,
                        expected='request_client_certificate="required"',
                    )
        elif options.get("trust") is None:
            raise ConfigurationError(
                "option-conflict",
                found='request_client_certificate="required" without trust=',
                expected="trust=, the CAs of the clients",
            )
        if options.get("identity") is None:
            raise ConfigurationError("identity", found="none", expected="identity=, what the server presents")
        SecureContext.__init__(self, **options)
        from certstore.entropy import check

        check()
        self._names = {}
        self._default = self._serving(self.identity, self.trust)
        # mbedTLS has it now; a second copy of a private key serves nobody.
        self.identity = None

    def _trust_sources(self, options):
        # Not the store in flash: whoever has a certificate of a public CA is not a client of ours.
        wanted = options.get("trust")
        return None if wanted is None else SecureContext._trust_sources(self, options)

    def _serving(self, identity, trust):
        if trust is not None:
            _check_anchors(trust)
            floor = trust.floor()
            if unix_time() < floor:
                from .verdict import clock_not_set

                raise clock_not_set(floor)
        return Serving(self, identity, trust, needs(*identity, trust is not None))

    def add_context(self, hostname, identity, trust=None):
        """Present `identity` to clients that ask for `hostname` (server_name, RFC 6066 3); "*.example.com"
        stands for one label (RFC 6125 6.4.3). trust: the CAs of this name's clients, where they differ."""
        if trust is not None and self.request_client_certificate == "none":
            raise ConfigurationError(
                "option-conflict",
                found='trust= with request_client_certificate="none"',
                expected='request_client_certificate="required"',
            )
        name = _server_name(hostname)
        found = find(identity, self._stores)
        if trust is None:
            clients = self._default.trust
        else:
            clients = TrustSet(*SecureContext._trust_sources(self, {"trust": trust}))
        self._names[name] = self._serving(found, clients)

    def _stores(self):
        from .stores import trusted

        stores = self._sources[0] if self._sources is not None else ()
        return stores or (trusted(),)

    def choose(self, server_name):
        """The Serving for a client that asked for this name (lower case), or for none (None)."""
        names = self._names
        if not names or server_name is None:
            return self._default
        found = names.get(server_name)
        if found is None:
            found = names.get("*" + server_name[server_name.find(".") :])
        return found or self._default

    def check(self, server_hostname):
        raise refused("secure", "ServerContext", "a SecureContext: this is a client's connection")

    def wrap_socket(self, sock, *, server_side=True, server_hostname=None, do_handshake_on_connect=True):
        """A server's connection over `sock`, as tls.SSLContext.wrap_socket gives."""
        if not server_side:
            sock.close()
            raise refused("server_side", "False", "True: this is a server's context")
        accepted = AcceptedStream(self)
        if do_handshake_on_connect:
            accepted._take(sock, None)
        else:
            accepted._begin(sock, False)
        return accepted


def context(identity, secure):
    """The ServerContext for identity= and secure= (a dict of options, or a ServerContext)."""
    if isinstance(secure, ServerContext):
        if identity is not None:
            raise refused("identity", "one", "none: the ServerContext has its own")
        return secure
    if not isinstance(secure, (dict, type(None))):
        raise refused("secure", type(secure).__name__, "a dict of options, or a ServerContext")
    options = dict(secure or {})
    if identity is not None:
        options["identity"] = identity
    return ServerContext(**options)


def accepted(stream, server_hostname, secure, timeout_ms):
    """SecureSocket.wrap with server_side=True."""
    if server_hostname is not None:
        raise refused("server_hostname", repr(server_hostname), "none: the client names the server")
    secured = AcceptedStream(context(None, secure))
    secured._take(stream, timeout_ms)
    return secured


def _check_anchors(trust):
    count = 0
    for der in anchors(trust):
        count += 1
        certificate = Certificate(der)
        if count > MAX_ANCHORS:
            raise ConfigurationError(
                "option-value",
                found="trust= with more than %d certificates" % MAX_ANCHORS,
                expected="the CAs of the clients only",
            )
        if not certificate.may_issue and certificate.issuer != certificate.subject:
            # mbedTLS trusts a certificate for itself only if it is self-issued.
            raise unsupported("trust= with a client's own certificate")


def _server_name(hostname):
    name = hostname.lower() if isinstance(hostname, str) else ""
    labels = name.split(".")
    if labels[0] == "*" and len(labels) > 1:
        labels = labels[1:]
    for label in labels:
        if not 0 < len(label) <= _MAX_LABEL or any(
            not ("a" <= char <= "z" or "0" <= char <= "9" or char in "-_") for char in label
        ):
            raise refused("hostname", repr(hostname), 'a host name, or "*." and a host name')
    if len(name) > _MAX_HOST_NAME:
        raise refused("hostname", "%d characters" % len(name), "at most %d" % _MAX_HOST_NAME)
    return name
