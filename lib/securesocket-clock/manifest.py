metadata(
    version="0.1.0",
    description="Set_clock: the time, given or from the network, under rules.",
)

require("securesocket")
require("certstore-files")
package(
    "securesocket",
    files=("clock.py",),
    base_path="../securesocket",
    opt=3,
)
