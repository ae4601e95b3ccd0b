#define MICROPY_HW_BOARD_NAME                   "Raspberry Pi Pico 2 W, securesocket"

// The end of the flash; before it, code, of which the radio's firmware takes 224 KB.
// The same as in boards/boards.toml.
#define MICROPY_HW_ROMFS_BYTES                  (128 * 1024)
#define MICROPY_HW_FLASH_STORAGE_BYTES          (2048 * 1024)

#define MICROPY_PY_NETWORK                      (1)
#define MICROPY_PY_NETWORK_HOSTNAME_DEFAULT     "pico2-w"

#include "../radio.h"
#include "../secure.h"
