# The host variant: the `stock` builds of tools/build/unix.py.

# What our builds do without: a database, and C libraries that a fresh machine lacks.
MICROPY_PY_BTREE = 0
MICROPY_PY_FFI = 0
MICROPY_SSL_MBEDTLS = 1

# VARIANT_DIR is absolute, so that this header is found from every folder of the port.
MBEDTLS_CONFIG_FILE = \"$(VARIANT_DIR)/../mbedtls/stock.h\"

# manifest.py at the top includes this first.
MICROPY_MANIFEST_BASE = $(VARIANT_DIR)/manifest.py
