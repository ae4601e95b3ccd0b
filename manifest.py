# The frozen set. MICROPY_MANIFEST_BASE names the port's or board's own manifest, which comes
# first; firmware/unix and boards/ set it. A manifest of your own needs the last lines only.
include("$(BASE)")

add_library("securesocket", "lib")
require("securesocket-full", library="securesocket")
# The store: made by `securesocket store frozen`.
module("securesocket_roots.py", base_path="build/store")
