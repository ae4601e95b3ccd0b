// _heap_meter: which pieces of the MicroPython heap mbedTLS holds, takes and gives back.
//
// Only in the firmware of `make calibrate`. The linker puts the two functions below in the place of
// m_tracked_calloc and m_tracked_free (--wrap), which is how mbedTLS gets its memory on every port whose
// mbedTLS uses the MicroPython heap. Everything of the meter's own is static: it changes no heap.

#include "py/gc.h"
#include "py/obj.h"
#include "py/runtime.h"

#define BLOCK_BYTES (MICROPY_BYTES_PER_GC_BLOCK)
#define MAX_LIVE (512)
#define MAX_EVENTS (65536)

void *__real_m_tracked_calloc(size_t nmemb, size_t size);
void __real_m_tracked_free(void *ptr);
void *__wrap_m_tracked_calloc(size_t nmemb, size_t size);
void __wrap_m_tracked_free(void *ptr);

typedef struct {
    void *ptr;
    uint32_t blocks;
    // Which event it was that took it.
    int32_t event;
} held_t;

static struct {
    bool on;
    bool logging;
    bool overflow;
    uint32_t count;
    uint32_t blocks;
    held_t live[MAX_LIVE];
    // Since mark(): blocks taken, or -1 less the number of the event that took what is given back.
    uint32_t events_count;
    int32_t events[MAX_EVENTS];
} meter;

static int32_t log_event(int32_t event) {
    if (!meter.logging) {
        return -1;
    }
    if (meter.events_count == MAX_EVENTS) {
        meter.overflow = true;
        return -1;
    }
    meter.events[meter.events_count] = event;
    return (int32_t)meter.events_count++;
}

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
    held->event = log_event((int32_t)held->blocks);
    meter.blocks += held->blocks;
    return ptr;
}

void __wrap_m_tracked_free(void *ptr) {
    if (meter.on && ptr != NULL) {
        for (uint32_t i = 0; i < meter.count; ++i) {
            if (meter.live[i].ptr == ptr) {
                meter.blocks -= meter.live[i].blocks;
                if (meter.live[i].event >= 0) {
                    log_event(-1 - meter.live[i].event);
                }
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
        mp_raise_msg(&mp_type_RuntimeError, MP_ERROR_TEXT("more than MAX_LIVE or MAX_EVENTS"));
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(meter_stop_obj, meter_stop);

// now(): bytes that mbedTLS holds.
static mp_obj_t meter_now(void) {
    return mp_obj_new_int_from_uint(meter.blocks * BLOCK_BYTES);
}
static MP_DEFINE_CONST_FUN_OBJ_0(meter_now_obj, meter_now);

// held(): the bytes of each piece that mbedTLS holds, in the order in which they were taken.
static mp_obj_t meter_held(void) {
    mp_obj_t list = mp_obj_new_list(0, NULL);
    for (uint32_t i = 0; i < meter.count; ++i) {
        mp_obj_list_append(list, MP_OBJ_NEW_SMALL_INT(meter.live[i].blocks * BLOCK_BYTES));
    }
    return list;
}
static MP_DEFINE_CONST_FUN_OBJ_0(meter_held_obj, meter_held);

// mark(on): from here on events are kept, or no more.
static mp_obj_t meter_mark(mp_obj_t on) {
    meter.logging = mp_obj_is_true(on);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(meter_mark_obj, meter_mark);

// event(n): bytes that the n-th event took, or -1 less the number of the event whose piece it gave back; None
// after the last.
static mp_obj_t meter_event(mp_obj_t number) {
    mp_int_t at = mp_obj_get_int(number);
    if (at < 0 || at >= (mp_int_t)meter.events_count) {
        return mp_const_none;
    }
    mp_int_t event = meter.events[at];
    return MP_OBJ_NEW_SMALL_INT(event < 0 ? event : event * (mp_int_t)BLOCK_BYTES);
}
static MP_DEFINE_CONST_FUN_OBJ_1(meter_event_obj, meter_event);

static const mp_rom_map_elem_t meter_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__heap_meter) },
    { MP_ROM_QSTR(MP_QSTR_start), MP_ROM_PTR(&meter_start_obj) },
    { MP_ROM_QSTR(MP_QSTR_stop), MP_ROM_PTR(&meter_stop_obj) },
    { MP_ROM_QSTR(MP_QSTR_now), MP_ROM_PTR(&meter_now_obj) },
    { MP_ROM_QSTR(MP_QSTR_held), MP_ROM_PTR(&meter_held_obj) },
    { MP_ROM_QSTR(MP_QSTR_mark), MP_ROM_PTR(&meter_mark_obj) },
    { MP_ROM_QSTR(MP_QSTR_event), MP_ROM_PTR(&meter_event_obj) },
};
static MP_DEFINE_CONST_DICT(meter_globals, meter_globals_table);

const mp_obj_module_t heap_meter_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&meter_globals,
};

MP_REGISTER_MODULE(MP_QSTR__heap_meter, heap_meter_module);
