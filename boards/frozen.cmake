# What each of our boards freezes: its manifest.py, then the repository's. mpconfigboard.cmake
# includes this; the manifest of the user's choice (FROZEN_MANIFEST) still has precedence.
set(MICROPY_FROZEN_MANIFEST "${CMAKE_CURRENT_LIST_DIR}/../manifest.py")
set(MICROPY_MANIFEST_BASE "${MICROPY_BOARD_DIR}/manifest.py")

# A distribution's source package of MicroPython does not have micropython-lib.
if(EXISTS "${MICROPY_DIR}/lib/micropython-lib/micropython/bundles/bundle-networking/manifest.py")
    set(MICROPY_MANIFEST_PORT_SET "with_library.py")
else()
    set(MICROPY_MANIFEST_PORT_SET "without_library.py")
endif()
