metadata(
    version="0.1.0",
    description="Securesocket with all its parts.",
)

require("securesocket-trace")
require("securesocket-server")
require("certstore-edit")
require("securesocket-dtls")
