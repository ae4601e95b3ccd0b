metadata(
    version="0.1.0",
    description="Options that few give: certificates as trust=, ciphers; SecureSocket.open and wrap.",
)

require("securesocket")
require("certstore-files")
package(
    "securesocket",
    files=(
        "again.py",
        "aio.py",
        "options.py",
        "reading.py",
        "wrapping.py",
    ),
    base_path="../securesocket",
    opt=3,
)
