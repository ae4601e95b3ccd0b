#define MICROPY_HW_BOARD_NAME                   "Raspberry Pi Pico, securesocket"

// Flash, 2 MB: code up to 896 KB, ROMFS 128 KB, file system 1 MB (boards/boards.toml).
#define MICROPY_HW_ROMFS_BYTES                  (128 * 1024)
#define MICROPY_HW_FLASH_STORAGE_BYTES          (1024 * 1024)

// Networking: lwIP over PPP.
#define MICROPY_PY_NETWORK                      (1)
#define MICROPY_PY_NETWORK_HOSTNAME_DEFAULT     "pico"
#define MICROPY_PY_NETWORK_PPP_LWIP             (1)

// A REPL over the network in the clear has no place here; without it nothing uses `websocket`.
#define MICROPY_PY_WEBREPL                      (0)
#define MICROPY_PY_WEBSOCKET                    (0)
