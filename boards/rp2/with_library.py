# The port's own set, and of micropython-lib's bundle-networking what has a place here: not webrepl,
# whose password and whose whole session go over the network in the clear.
include("$(PORT_DIR)/boards/manifest.py")

require("mip")
require("ntptime")
require("ssl")
