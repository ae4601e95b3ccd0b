// _heap_meter: which blocks mbedTLS holds on the MicroPython heap when it holds most.
//
// Only in the firmware of `make calibrate`. The linker puts the two functions below in the place of
// m_tracked_calloc and m_tracked_free (--wrap), which is how mbedTLS gets its memory on every port whose
// mbedTLS uses the MicroPython heap. Everything of the meter's own is static: it changes no heap.

#include "py/gc.h"
#include "py/obj.h"
#include "py/runtime.h"

#define BLOCK_BYTES (MICROPY_BYTES_PER_GC_BLOCK)
#define MAX_LIVE (512)

void *__real_m_tracked_calloc(size_t nmemb, size_t size);
void __real_m_tracked_free(void *ptr);
void *__wrap_m_tracked_calloc(size_t nmemb, size_t size);
void __wrap_m_tracked_free(void *ptr);

typedef struct {
    void *ptr;
    uint32_t blocks;
} held_t;

static struct {
    bool on;
    bool overflow;
    uint32_t count;
    uint32_t blocks;
    uint32_t top_count;
    uint32_t top_blocks;
    uint32_t largest_transient;
    held_t live[MAX_LIVE];
    uint16_t top[MAX_LIVE];
} meter;

static uint32_t blocks_of(void *ptr) {
    // The list's node, two pointers, stands before what mbedTLS gets (py/malloc.c).
    size_t bytes = gc_nbytes((uint8_t *)ptr - 2 * sizeof(void *));
    return bytes / BLOCK_BYTES;
}

void *__wrap_m_tracked_calloc(size_t nmemb, size_t size) {
    void *ptr = __real_m_tracked_calloc(nmemb, size);
    if (!meter.on || ptr == NULL) {
        return ptr;
    }
    if (meter.count == MAX_LIVE) {
        meter.overflow = true;
        return ptr;
    }
    held_t *held = &meter.live[meter.count++];
    held->ptr = ptr;
    held->blocks = blocks_of(ptr);
    meter.blocks += held->blocks;
    if (meter.blocks > meter.top_blocks) {
        meter.top_blocks = meter.blocks;
        meter.top_count = meter.count;
        for (uint32_t i = 0; i < meter.count; ++i) {
            meter.top[i] = (uint16_t)meter.live[i].blocks;
        }
    }
    return ptr;
}

void __wrap_m_tracked_free(void *ptr) {
    if (meter.on && ptr != NULL) {
        for (uint32_t i = 0; i < meter.count; ++i) {
            if (meter.live[i].ptr == ptr) {
                meter.blocks -= meter.live[i].blocks;
                // Order is kept: it is the order in which they were taken.
                meter.count -= 1;
                for (uint32_t j = i; j < meter.count; ++j) {
                    meter.live[j] = meter.live[j + 1];
                }
                break;
            }
        }
    }
    __real_m_tracked_free(ptr);
}

// start(): forget everything, and watch from now on.
static mp_obj_t meter_start(void) {
    memset(&meter, 0, sizeof(meter));
    meter.on = true;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(meter_start_obj, meter_start);

// stop()
static mp_obj_t meter_stop(void) {
    meter.on = false;
    if (meter.overflow) {
        mp_raise_msg(&mp_type_RuntimeError, MP_ERROR_TEXT("more blocks than MAX_LIVE"));
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(meter_stop_obj, meter_stop);

// now(): bytes that mbedTLS holds.
static mp_obj_t meter_now(void) {
    return mp_obj_new_int_from_uint(meter.blocks * BLOCK_BYTES);
}
static MP_DEFINE_CONST_FUN_OBJ_0(meter_now_obj, meter_now);

// mark(): forget the most that was held so far; from here on there is another.
static mp_obj_t meter_mark(void) {
    meter.top_blocks = 0;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(meter_mark_obj, meter_mark);

// top(): bytes held at the moment at which most were held.
static mp_obj_t meter_top(void) {
    return mp_obj_new_int_from_uint(meter.top_blocks * BLOCK_BYTES);
}
static MP_DEFINE_CONST_FUN_OBJ_0(meter_top_obj, meter_top);

// pieces(): the bytes of each piece held then, in the order in which they were taken.
static mp_obj_t meter_pieces(void) {
    mp_obj_t list = mp_obj_new_list(0, NULL);
    for (uint32_t i = 0; i < meter.top_count; ++i) {
        mp_obj_list_append(list, MP_OBJ_NEW_SMALL_INT(meter.top[i] * BLOCK_BYTES));
    }
    return list;
}
static MP_DEFINE_CONST_FUN_OBJ_0(meter_pieces_obj, meter_pieces);

static const mp_rom_map_elem_t meter_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__heap_meter) },
    { MP_ROM_QSTR(MP_QSTR_start), MP_ROM_PTR(&meter_start_obj) },
    { MP_ROM_QSTR(MP_QSTR_stop), MP_ROM_PTR(&meter_stop_obj) },
    { MP_ROM_QSTR(MP_QSTR_now), MP_ROM_PTR(&meter_now_obj) },
    { MP_ROM_QSTR(MP_QSTR_mark), MP_ROM_PTR(&meter_mark_obj) },
    { MP_ROM_QSTR(MP_QSTR_top), MP_ROM_PTR(&meter_top_obj) },
    { MP_ROM_QSTR(MP_QSTR_pieces), MP_ROM_PTR(&meter_pieces_obj) },
};
static MP_DEFINE_CONST_DICT(meter_globals, meter_globals_table);

const mp_obj_module_t heap_meter_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&meter_globals,
};

MP_REGISTER_MODULE(MP_QSTR__heap_meter, heap_meter_module);
