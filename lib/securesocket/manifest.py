metadata(
    version="0.1.0",
    description="TLS that is verified by default, against a certificate store in flash.",
)

require("certstore")
package(
    "securesocket",
    files=(
        "__init__.py",
        "context.py",
        "engine/__init__.py",
        "engine/stock.py",
        "engine/tap.py",
        "errors.py",
        "handshake.py",
        "path.py",
        "socket.py",
        "stores.py",
        "stream.py",
        "trust.py",
        "verdict.py",
    ),
    opt=3,
)
