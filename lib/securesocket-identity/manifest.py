metadata(
    version="0.1.0",
    description="Identity=: certificates that this device presents.",
)

require("securesocket-options")
require("certstore-identity")
package(
    "securesocket",
    files=("identity.py",),
    base_path="../securesocket",
    opt=3,
)
