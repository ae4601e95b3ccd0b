metadata(
    version="0.1.0",
    description="Options that few give: certificates as trust=, ciphers, versions; SecureSocket.open.",
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
    ),
    base_path="../securesocket",
    opt=3,
)
