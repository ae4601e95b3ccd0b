metadata(
    version="0.1.0",
    description="TLS that is verified by default, against a certificate store in flash.",
)

require("certstore")
package("securesocket", opt=3)
