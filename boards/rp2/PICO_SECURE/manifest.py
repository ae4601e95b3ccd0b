# frozen.cmake chooses the set: with micropython-lib, or without.
include("../$(PORT_SET)")
