metadata(
    version="0.1.0",
    description="What people want to know of certificates, stores and errors.",
)

require("certstore-files")
package(
    "certstore",
    files=(
        "asn1.py",
        "details.py",
        "mozilla.py",
        "names.py",
        "sentences.py",
        "show.py",
        "spki.py",
    ),
    base_path="../certstore",
    opt=3,
)
