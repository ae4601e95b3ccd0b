# The port's own set, and those packages of micropython-lib's bundle-networking that have a place
# here. Not webrepl: it carries its password and all that is typed in the clear.
include("$(PORT_DIR)/boards/manifest.py")

require("mip")
require("ntptime")
require("ssl")
