metadata(
    version="0.1.0",
    description="X.509 certificates, and a store of trust anchors that is read in place",
)

package("certstore", opt=3)
