# What the port's standard variant freezes, without the packages of micropython-lib
# (mip and `ssl`): a distribution's source package does not have them.
include("$(MPY_DIR)/extmod/asyncio")
