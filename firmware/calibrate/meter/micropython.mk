# The meter of `make calibrate` for the Unix port.

HEAP_METER_DIR := $(USERMOD_DIR)

SRC_USERMOD_C += $(HEAP_METER_DIR)/heap_meter.c
LDFLAGS_USERMOD += -Wl,--wrap=m_tracked_calloc -Wl,--wrap=m_tracked_free
