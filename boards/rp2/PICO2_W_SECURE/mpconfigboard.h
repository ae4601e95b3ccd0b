#define MICROPY_HW_BOARD_NAME                   "Raspberry Pi Pico 2 W, securesocket"

// The end of the flash; before it, code, of which the radio's firmware takes 224 KB.
// The same as in boards/boards.toml.
#define MICROPY_HW_ROMFS_BYTES                  (128 * 1024)
#define MICROPY_HW_FLASH_STORAGE_BYTES          (2048 * 1024)

#define MICROPY_PY_NETWORK                      (1)
#define MICROPY_PY_NETWORK_HOSTNAME_DEFAULT     "pico2-w"

// The radio's driver, as on every Pico W.
#define CYW43_USE_SPI                           (1)
#define CYW43_LWIP                              (1)
#define CYW43_GPIO                              (1)
#define CYW43_SPI_PIO                           (1)

#define MICROPY_HW_PIN_EXT_COUNT                CYW43_WL_GPIO_COUNT

int mp_hal_is_pin_reserved(int n);
#define MICROPY_HW_PIN_RESERVED(i)              mp_hal_is_pin_reserved(i)

#include "../secure.h"
