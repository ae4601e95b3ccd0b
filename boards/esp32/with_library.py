# The port's own set: it has micropython-lib's bundle-networking already.
include("$(PORT_DIR)/boards/manifest.py")
