"""What this device presents: a chain and its private key, in the form that mbedTLS takes twice."""

from certstore import keys, pem
from certstore.certificate import Certificate
from certstore.compat import const
from certstore.errors import NotFound

from .errors import ConfigurationError

# A longer label, subject or SKI does not exist; whoever gives a key here is not told what it was.
_MAX_QUERY = const(128)


def find(value, stores):
    """(chain, key) for identity=: one in a store, or certificates and key. stores: callable() -> stores."""
    if isinstance(value, (str, bytes)) and len(value) <= _MAX_QUERY and "-----" not in str(value):
        return _private_identity(stores(), value)
    return load(value)


def _private_identity(stores, query):
    for store in stores[:-1]:
        try:
            return store.private_identity(query)
        except NotFound:
            continue
    return stores[-1].private_identity(query)


def load(value):
    """(chain, key) from (certificates, key): DER, PEM, or a list of DER certificates; leaf first.

    Returns ([DER, ...], DER), the key as PKCS#1 or SEC 1: mbedTLS cannot parse a PKCS#8 key a second
    time into one context, and tls.load_cert_chain does so for each certificate. Raises
    ConfigurationError, FormatError; never with a byte of the key.
    """
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
