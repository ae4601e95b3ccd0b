metadata(
    version="0.1.0",
    description="Stores that are changed on the device, at once or not at all.",
)

require("certstore-explain")
package(
    "certstore",
    files=(
        "anchors.py",
        "journal.py",
        "layers.py",
        "layout.py",
        "packing.py",
        "replace.py",
        "update.py",
        "writer.py",
    ),
    base_path="../certstore",
    opt=3,
)
