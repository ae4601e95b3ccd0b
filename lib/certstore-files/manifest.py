metadata(
    version="0.1.0",
    description="Certificates and trust anchors from files: PEM, validity, host names.",
)

require("certstore")
package(
    "certstore",
    files=(
        "dates.py",
        "fields.py",
        "hosts.py",
        "pem.py",
        "times.py",
    ),
    base_path="../certstore",
    opt=3,
)
