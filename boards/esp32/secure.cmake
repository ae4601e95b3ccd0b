# What our ESP32 boards share; mpconfigboard.cmake includes it after the port's sdkconfig files.
include("${CMAKE_CURRENT_LIST_DIR}/../frozen.cmake")

# ESP-IDF looks for a relative path in the port's folder.
file(WRITE "${CMAKE_BINARY_DIR}/sdkconfig.partitions"
    "CONFIG_PARTITION_TABLE_CUSTOM_FILENAME=\"${CMAKE_CURRENT_LIST_DIR}/partitions-4MiB.csv\"\n")

list(APPEND SDKCONFIG_DEFAULTS
    "${CMAKE_CURRENT_LIST_DIR}/sdkconfig.secure"
    "${CMAKE_BINARY_DIR}/sdkconfig.partitions"
    "${MICROPY_BOARD_DIR}/sdkconfig.board"
)

# Needs a submodule, and room.
set(MICROPY_PY_BTREE OFF)
