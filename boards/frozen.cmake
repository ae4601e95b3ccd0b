# What a board of ours freezes: its own manifest.py, then the repository's. Each mpconfigboard.cmake
# includes this. FROZEN_MANIFEST on the command line of the port's build still has precedence.
set(MICROPY_FROZEN_MANIFEST "${CMAKE_CURRENT_LIST_DIR}/../manifest.py")
set(MICROPY_MANIFEST_BASE "${MICROPY_BOARD_DIR}/manifest.py")

# A distribution's source package of MicroPython does not have micropython-lib.
if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/../../lib/micropython-lib/micropython/bundles/bundle-networking/manifest.py")
    set(MICROPY_MANIFEST_PORT_SET "with_library.py")
else()
    set(MICROPY_MANIFEST_PORT_SET "without_library.py")
endif()
