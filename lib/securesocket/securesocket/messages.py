"""Names of what passes on the wire: handshake messages and alerts."""

_MESSAGES = (
    (0, "HelloRequest"),
    (1, "ClientHello"),
    (2, "ServerHello"),
    (4, "NewSessionTicket"),
    (11, "Certificate"),
    (12, "ServerKeyExchange"),
    (13, "CertificateRequest"),
    (14, "ServerHelloDone"),
    (15, "CertificateVerify"),
    (16, "ClientKeyExchange"),
    (20, "Finished"),
    (22, "CertificateStatus"),
)

# RFC 5246 7.2, RFC 6066 9, RFC 7301 3.2
_ALERTS = (
    (0, "close_notify"),
    (10, "unexpected_message"),
    (20, "bad_record_mac"),
    (21, "decryption_failed"),
    (22, "record_overflow"),
    (30, "decompression_failure"),
    (40, "handshake_failure"),
    (42, "bad_certificate"),
    (43, "unsupported_certificate"),
    (44, "certificate_revoked"),
    (45, "certificate_expired"),
    (46, "certificate_unknown"),
    (47, "illegal_parameter"),
    (48, "unknown_ca"),
    (49, "access_denied"),
    (50, "decode_error"),
    (51, "decrypt_error"),
    (70, "protocol_version"),
    (71, "insufficient_security"),
    (80, "internal_error"),
    (86, "inappropriate_fallback"),
    (90, "user_canceled"),
    (100, "no_renegotiation"),
    (109, "missing_extension"),
    (110, "unsupported_extension"),
    (112, "unrecognized_name"),
    (113, "bad_certificate_status_response"),
    (115, "unknown_psk_identity"),
    (116, "certificate_required"),
    (120, "no_application_protocol"),
)


def _name(table, number):
    for key, name in table:
        if key == number:
            return name
    return str(number)


def message_name(number):
    """Name of a HandshakeType, or its number as text."""
    return _name(_MESSAGES, number)


def alert_name(number):
    """Name of an AlertDescription, or its number as text."""
    return _name(_ALERTS, number)
