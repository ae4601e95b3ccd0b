metadata(
    version="0.1.0",
    description="Trace=: a line, or a tuple, for each message, alert and event of a connection.",
)

require("securesocket-explain")
package(
    "securesocket",
    files=(
        "records.py",
        "trace.py",
    ),
    base_path="../securesocket",
    opt=3,
)
