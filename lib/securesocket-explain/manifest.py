metadata(
    version="0.1.0",
    description="Errors in words, reports, help().",
)

require("securesocket-options")
require("securesocket-clock")
require("certstore-explain")
package(
    "securesocket",
    files=(
        "guide.py",
        "messages.py",
        "report.py",
        "sentences.py",
        "wording.py",
    ),
    base_path="../securesocket",
    opt=3,
)
