"""What this device presents: a chain and its private key, in the form that mbedTLS takes twice."""

from certstore import keys, pem
from certstore.certificate import Certificate


def load(value):
    """(chain, key) from (certificates, key): DER, PEM, or a list of DER certificates; leaf first.

    Returns ([DER, ...], DER), the key as PKCS#1 or SEC 1: mbedTLS cannot parse a PKCS#8 key a second
    time into one context, and tls.load_cert_chain does so for each certificate. Raises
    ConfigurationError, FormatError; never with a byte of the key.
    """
    from .errors import ConfigurationError

    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ConfigurationError(
            "identity", found=type(value).__name__, expected="(certificate chain, private key)"
        )
    chain = _chain(value[0])
    if not chain:
        raise ConfigurationError(
            "identity", found="no certificate", expected="the device's certificate first"
        )
    kind, key = keys.private_key(value[1])
    if keys.matches(kind, key, Certificate(chain[0])) is False:
        raise ConfigurationError("identity-mismatch", expected="the key of the first certificate")
    return chain, key


def _chain(value):
    if isinstance(value, (list, tuple)):
        chain = []
        for item in value:
            chain += _chain(item)
        return chain
    return pem.decode(value, "CERTIFICATE") if pem.is_pem(value) else [value]
