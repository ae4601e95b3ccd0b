#ifndef MICROPY_HW_BOARD_NAME // the variant has its own
#define MICROPY_HW_BOARD_NAME                   "Raspberry Pi Pico, securesocket"
#endif

// The end of the flash; before it, code. The same as in boards/boards.toml.
#define MICROPY_HW_ROMFS_BYTES                  (128 * 1024)
#define MICROPY_HW_FLASH_STORAGE_BYTES          (1024 * 1024)

#define MICROPY_PY_NETWORK                      (1)
#define MICROPY_PY_NETWORK_HOSTNAME_DEFAULT     "pico"
#define MICROPY_PY_NETWORK_PPP_LWIP             (1)

// For the variant W5500.
#define MICROPY_HW_WIZNET_SPI_ID                (0)
#define MICROPY_HW_WIZNET_SPI_BAUDRATE          (20 * 1000 * 1000)
#define MICROPY_HW_WIZNET_SPI_SCK               (18)
#define MICROPY_HW_WIZNET_SPI_MOSI              (19)
#define MICROPY_HW_WIZNET_SPI_MISO              (16)
#define MICROPY_HW_WIZNET_PIN_CS                (17)
#define MICROPY_HW_WIZNET_PIN_RST               (20)
#define MICROPY_HW_WIZNET_PIN_INTN              (21)

#include "../secure.h"
