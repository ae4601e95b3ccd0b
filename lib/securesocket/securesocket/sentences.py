"""What the codes of securesocket.errors mean: one sentence each, and what usually helps."""

from certstore import sentences

# (class, ((code, sentence, usual remedy or None), ...))
SENTENCES = (
    (
        "ConfigurationError",
        (
            ("address", "a connection needs a host and a port", 'SecureSocket("example.com", 443)'),
            ("option-unknown", "there is no such option", None),
            ("option-value", "the option's value cannot be used", None),
            ("option-conflict", "these options contradict each other", None),
            ("server-name", "verification needs the name of the server", "pass server_hostname="),
            (
                "no-store",
                "there is no certificate store on this device",
                "make one with securesocket store build, then securesocket store push; or pass trust=",
            ),
            ("trust-empty", "the trust set holds no certificate", "pass a store or a certificate as trust="),
            ("anchor", "mbedTLS cannot use this trust anchor", "leave it out of the trust set"),
            ("identity", "the identity cannot be used", None),
            ("identity-mismatch", "the private key does not belong to the certificate", None),
            ("cipher", "this engine does not know the cipher suite", None),
        ),
    ),
    (
        "UnsupportedFeature",
        (
            (
                "feature",
                "MicroPython's own tls module cannot do this",
                "it needs the native engine of the securesocket firmware",
            ),
            (
                "tls13",
                "the server chose TLS 1.3, whose certificates this engine cannot see",
                "allow TLS 1.2 on the server, or use a firmware whose tls module has no TLS 1.3",
            ),
            ("no-certificate", "the server sent no certificate that could be read", None),
            (
                "fragmented",
                "the server splits its certificates over several records",
                "mbedTLS joins them since 3.6.3; use MicroPython 1.29 or newer, or a shorter chain",
            ),
            (
                "reconnect",
                "on_bad_certificate needs a second connection, which a stream opened elsewhere cannot give",
                "let SecureSocket(host, port) open the connection",
            ),
            (
                "dtls-cookies",
                "this tls module has no cookies, without which a DTLS server answers forged addresses",
                "use MicroPython 1.26 or newer; clients work with 1.25 as well",
            ),
            ("host-clock", "the clock of a computer is set by its operating system", None),
        ),
    ),
    (
        "MemoryBudgetError",
        (
            (
                "memory-budget",
                "the heap will not carry this handshake",
                "free memory first: close other sessions, connect early, call gc.collect() before",
            ),
            (
                "memory",
                "the heap is too small or too fragmented for this handshake",
                "free memory first: close other sessions, connect early, call gc.collect() before",
            ),
            (
                "server-memory",
                "the heap will not carry another client",
                "close connections that are not needed, or lower max_connections",
            ),
            (
                "memory-verify",
                "the certificate could not be verified: too little heap for its signature",
                "free memory first: close other sessions, connect early, call gc.collect() before",
            ),
        ),
    ),
    (
        "HandshakeTimeout",
        (("timeout", "the peer did not answer in time", None),),
    ),
    (
        "HandshakeError",
        (
            (
                "resolve",
                "the host name cannot be resolved",
                "check the name; on a board, is the network up? network.WLAN().isconnected()",
            ),
            ("connect", "the connection was not made", "check host, port and network"),
            ("connection-lost", "the connection broke during the handshake", None),
            ("peer-closed", "the peer closed the connection during the handshake", None),
            ("alert", "the peer refused the handshake with an alert", None),
            ("not-tls", "the peer does not speak TLS on this port", "check the port (HTTPS 443, MQTTS 8883)"),
            (
                "parameters",
                "no protocol version or cipher suite in common",
                "the server must offer TLS 1.2 with ECDHE and AES-GCM; others by name with ciphers=",
            ),
            ("protocol", "the peer's handshake is not valid", None),
            (
                "signature",
                "the handshake is not signed with the certificate's key",
                "do not trust this server",
            ),
            ("engine", "mbedTLS refused the handshake", None),
            ("stream", "the underlying stream failed", None),
            ("certificate-limit", "the server sends more certificates than are read", None),
            (
                "early-bytes",
                "the peer has spoken before the handshake",
                "do not trust this connection: what was sent in the clear would count as secured",
            ),
            (
                "bind",
                "the server cannot listen there",
                "check address and port; another server may have the port",
            ),
            (
                "displaced",
                "a client said nothing, and newer ones took its place",
                "raise max_handshakes, if it is no attack",
            ),
            ("server-full", "the server takes no more clients", "raise max_connections or max_handshakes"),
        ),
    ),
    (
        "CertificateError",
        (
            ("not-trusted", "the certificate chain could not be verified", None),
            ("usage", "the certificate is not meant for a server", "the server needs another certificate"),
            (
                "client-certificate",
                "the client presented no certificate",
                "the client needs one of a CA in trust=",
            ),
            (
                "client-usage",
                "the certificate is not meant for a client",
                "the client needs one whose extended key usage has clientAuth",
            ),
            ("path-length", "a CA of the chain may not have another CA below it", None),
            ("verification-off", "verification was turned off by verify=False", "leave verify out"),
            ("not-checked", "without a verified path these checks were not made", None),
            ("leaf-changed", "the server showed another certificate on the second connection", None),
        ),
    ),
    (
        "UnknownIssuer",
        (
            (
                "unknown-issuer",
                "no trust anchor issued this certificate",
                "if it is your own CA, compare its SHA-256 with its owner and pass its file as trust=",
            ),
        ),
    ),
    (
        "Expired",
        (("expired", "the certificate has expired", "the server must renew it; check this device's clock"),),
    ),
    (
        "NotYetValid",
        (("not-yet-valid", "the certificate is not valid yet", "check this device's clock"),),
    ),
    (
        "ClockNotSet",
        (
            (
                "clock-not-set",
                "this device's clock is not set",
                "set it before connecting, from the network: securesocket.set_clock()",
            ),
        ),
    ),
    (
        "HostnameMismatch",
        (("hostname", "the certificate is for another host", "connect with a name that it holds"),),
    ),
    (
        "BadSignature",
        (
            (
                "bad-signature",
                "the chain is not signed by the trust anchor of that name",
                "do not trust this server; if it is your own CA with a new key, replace its file in trust=",
            ),
        ),
    ),
    (
        "WeakKey",
        (
            ("weak-key", "a key of the chain is too weak", "the server needs RSA 2048, P-256 or better"),
            (
                "weak-hash",
                "a certificate of the chain is signed with a weak hash",
                "it needs SHA-256 or better",
            ),
        ),
    ),
    (
        "PinMismatch",
        (("pin", "no key of the verified path is pinned", "if the server's key changed, update pins="),),
    ),
    (
        "ClockError",
        (
            (
                "clock-value",
                "this is no time from 2000 to 2099",
                "give seconds since 1970, or what time.gmtime() gives: (year, month, day, hour, minute, second)",
            ),
            (
                "clock-floor",
                "this time is before the store, or this version, was made",
                "check where it comes from; force=True takes it all the same",
            ),
            (
                "clock-jump",
                "the clock is set, and this time is more than a day from it",
                "check which of them is right; force=True takes the new one",
            ),
            (
                "sntp-network",
                "the time server cannot be reached",
                "check the name; on a board, is the network up? network.WLAN().isconnected()",
            ),
            (
                "sntp-timeout",
                "the time server did not answer in time",
                "ask another one: securesocket.set_clock(host=...)",
            ),
            (
                "sntp-refused",
                "the time server refuses (kiss-o'-death)",
                "ask another one: securesocket.set_clock(host=...)",
            ),
            (
                "sntp-unset",
                "the time server does not know the time itself",
                "ask another one: securesocket.set_clock(host=...)",
            ),
            (
                "sntp-answer",
                "the time server's answer is not one of SNTP",
                "ask another one: securesocket.set_clock(host=...)",
            ),
        ),
    ),
    (
        "DatagramError",
        (
            ("receive-timeout", "no datagram came in time", "a datagram may be lost: ask the peer again"),
            ("accept-timeout", "nothing came in time", None),
            (
                "datagram-size",
                "a datagram of this size cannot be sent whole",
                "send less at a time (max_datagram), or a larger mtu= where the path carries it",
            ),
            (
                "datagram-truncated",
                "a datagram was larger than the buffer, and is gone",
                "receive into a larger buffer",
            ),
            (
                "datagram-bind",
                "the UDP socket cannot have this address",
                "choose another port, or 0 for a client",
            ),
            (
                "datagram-port",
                "a client with a port of its own carries one connection at a time",
                "close that connection, or bind to port 0",
            ),
            ("datagram-closed", "the peer has closed the connection", None),
            ("datagram-ended", "the connection has ended", "connect again"),
            ("peer-idle", "nothing was heard of the peer for too long", None),
            ("peer-replaced", "the peer has made a new connection from the same address", None),
        ),
    ),
)

# What each of context.OPTIONS takes.
TAKES = (
    ("trust", "a CertStore, certificates in DER or PEM, a list of these; None with pins"),
    ("verify", "True, or False to turn verification off"),
    ("on_bad_certificate", "callable(certificate, failures) -> True to accept"),
    ("pins", "SHA-256 of public key infos, 32 bytes, hex or base64"),
    (
        "identity",
        "(certificate chain, private key), DER or PEM; or label, subject or SKI of one in a store",
    ),
    ("ciphers", "names of cipher suites, in order of preference"),
    ("min_version", '"TLSv1.2" or 0x0303'),
    ("max_version", '"TLSv1.2" or 0x0303'),
    ("server_name", "the name to verify and to send (SNI), where it is not the host"),
    ("alpn", "protocol names (RFC 7301)"),
    ("max_fragment_length", "512, 1024, 2048 or 4096 (RFC 6066 4)"),
    ("psk", "(identity, key) (RFC 4279)"),
    ("tickets", "True to resume sessions by tickets (RFC 5077)"),
    ("connection_id", "bytes that name a DTLS connection, wherever its datagrams come from (RFC 9146)"),
    ("now", "callable() -> seconds since 1970"),
    ("trace", "True to print each message, alert and event; callable(event) to get them as tuples"),
    (
        "budget",
        'what happens where the heap will not carry a handshake: "raise" (default), "warn", None to not ask',
    ),
    ("reserve", "bytes of heap that a handshake has to leave free at its peak"),
)


def of(code):
    """(sentence, usual remedy or None) of a code of either package."""
    for _, rows in SENTENCES:
        for known, sentence, remedy in rows:
            if code == known:
                return sentence, remedy
    return sentences.of(code)
