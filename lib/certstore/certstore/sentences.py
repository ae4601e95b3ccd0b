"""What the codes of certstore.errors mean: one sentence each, and what usually helps."""

# (class, ((code, sentence, usual remedy or None), ...))
SENTENCES = (
    (
        "SecureSocketError",
        (("closed", "the connection is closed", None),),
    ),
    (
        "MissingPackage",
        (
            (
                "package",
                "this comes in a package that is not installed",
                "install it: import mip; mip.install(...)",
            ),
        ),
    ),
    (
        "FormatError",
        (
            ("der-truncated", "DER data ends inside an element", None),
            ("der-length", "DER length is not in its shortest form or too large", None),
            ("der-tag", "DER element is of another type", None),
            ("der-trailing", "DER element is followed by more bytes", None),
            ("der-value", "DER value is outside what its type allows", None),
            ("pem-armour", "PEM block has no matching BEGIN and END lines", None),
            ("pem-base64", "PEM block is not base64", None),
            ("pem-size", "PEM block is larger than any certificate or key here", None),
            ("pem-none", "no PEM block of this kind here", None),
            ("certificate", "this is not an X.509 certificate", None),
            ("key", "this is not a private key in PKCS#1, SEC 1 or PKCS#8 form", None),
            ("chain", "these certificates are no chain of this key", None),
            ("key-plain", "a password is given, but the private key is not encrypted", "leave it out"),
            (
                "key-kdf",
                "the private key is encrypted in a way that is not read here",
                "encrypt it again: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in KEY -out NEW",
            ),
            (
                "iterations",
                "the iterations of the private key's encryption are outside what is allowed here",
                "encrypt it again: openssl pkcs8 -topk8 -iter 10000 -in KEY -out NEW",
            ),
            (
                "key-encrypted",
                "the private key is encrypted",
                "give its password, or decrypt it first: openssl pkey -in KEY",
            ),
        ),
    ),
    (
        "StoreError",
        (
            (
                "store-version",
                "the store's format is newer than this code",
                "update securesocket, or build the store with this version's `securesocket store build`",
            ),
            ("store-full", "a store holds at most 65535 certificates", None),
            ("store-size", "a store is smaller than 16 MB, a certificate in it than 64 KB", None),
            ("store-ski", "a subject key identifier in a store has at most 64 bytes", None),
            (
                "store-older",
                "the new store is older than this one",
                "replace(..., older=True) takes it all the same",
            ),
            ("store-future", "the new store was built in the future", "check this device's clock"),
            ("identity-label", "a label is text of 1 to 64 bytes in UTF-8", None),
            (
                "identity-password",
                "an identity needs either a password, or plain=True for a key in the clear",
                None,
            ),
            ("identity-many", "several identities are meant by this", "use the label"),
            ("store-missing", "there is no store here", "build one: securesocket store build"),
            ("store-file", "the store's file cannot be read", None),
            (
                "store-write",
                "the store could not be written; the old one is unchanged",
                "make room in the file system, or check its health",
            ),
            (
                "store-read-only",
                "this store cannot be changed where it is",
                "keep changes in a file above it: certstore.layers.LayeredStore(store, path)",
            ),
            ("store-exists", "there is a store already", None),
            ("identity-exists", "the store has an identity of this label", "remove it first"),
            ("store-tag", "the new store has no tag under this key", "make it: securesocket store tag"),
            (
                "identity-locked",
                "the private key is encrypted and the store is locked",
                "unlock it first: store.unlock(password)",
            ),
        ),
    ),
    (
        "CorruptStore",
        (
            ("store-magic", "this is not a certificate store", "build one: securesocket store build"),
            ("store-truncated", "the store is shorter or longer than its header says", "copy it again"),
            ("store-header", "the store's header is damaged", "copy it again"),
            ("store-record", "a record of the store is damaged", "copy it again"),
            ("store-index", "an index of the store is damaged", "copy it again"),
            ("store-check", "the store's checksum does not hold", "copy it again"),
        ),
    ),
    (
        "NotFound",
        (("not-found", "the store has no such entry", "securesocket store list shows what it has"),),
    ),
    (
        "BadPassword",
        (
            (
                "password",
                "wrong password, or the key is damaged",
                "try the password with: openssl pkey -noout -in KEY; the key must be RSA or EC",
            ),
        ),
    ),
    (
        "EntropyError",
        (
            ("entropy-absent", "this device has no random source", "use a firmware with os.urandom"),
            (
                "entropy-weak",
                "this device's random source does not work: it repeats itself",
                "make no connection and no key on it; in tests and emulators: securesocket.accept_weak_entropy()",
            ),
        ),
    ),
)


def of(code):
    """(sentence, usual remedy or None) of a code; twice None for one of a later version."""
    for _, rows in SENTENCES:
        for known, sentence, remedy in rows:
            if code == known:
                return sentence, remedy
    return None, None
