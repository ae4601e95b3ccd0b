metadata(
    version="0.1.0",
    description="Whether the heap will carry a handshake: told before it starts.",
)

require("securesocket")
package(
    "securesocket",
    files=(
        "budget.py",
        "heap_table_32.py",
        "heap_table_64.py",
    ),
    base_path="../securesocket",
    opt=3,
)
