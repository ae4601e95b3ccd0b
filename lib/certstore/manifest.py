metadata(
    version="0.1.0",
    description="X.509 certificates, and a store of trust anchors that is read in place.",
)

package(
    "certstore",
    files=(
        "__init__.py",
        "blob.py",
        "certificate.py",
        "compat.py",
        "der.py",
        "entropy.py",
        "errors.py",
        "packed.py",
        "store.py",
        "subjects.py",
        "verify.py",
        "words.py",
    ),
    opt=3,
)
