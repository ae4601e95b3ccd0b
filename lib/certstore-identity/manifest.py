metadata(
    version="0.1.0",
    description="Identities: certificate chains with their private keys, encrypted or not.",
)

require("certstore-explain")
package(
    "certstore",
    files=(
        "ciphers.py",
        "identities.py",
        "keys.py",
        "pbes2.py",
        "pkcs8.py",
    ),
    base_path="../certstore",
    opt=3,
)
