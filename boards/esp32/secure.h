// What our ESP32 boards share.

// The store's partition, read in place.
#define MICROPY_VFS_ROM                     (1)

// Bluetooth takes the RAM of two TLS connections.
#define MICROPY_PY_BLUETOOTH                (0)
