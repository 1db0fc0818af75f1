/* A STUB of AMD's libamd_smi.so: no device is behind it. It answers what Zeus and infra/gauges.py ask, so that their
 * real Python paths run. Device i draws 100 × (i + 1) watts, is 10 × (i + 1) per cent busy and holds (i + 1) GB.
 * Handles come in the reverse order of the HIP numbers, as on some machines. STUB_DEVICES: how many (default 4);
 * STUB_STILL: the energy counters don't move; STUB_NO_INIT: no driver. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OK = 0, NOT_SUPPORTED = 2, DRIVER_NOT_LOADED = 34 };
#define RESOLUTION 15.259f /* microjoules a count */

#pragma pack(push, 1)
typedef struct { uint32_t drm_render, drm_card, hsa_id, hip_id; char hip_uuid[256]; } enumeration_info;
typedef struct {
  char market_name[256]; uint32_t vendor_id; char vendor_name[256]; uint32_t subvendor_id; uint64_t device_id;
  uint32_t rev_id; char asic_serial[256]; uint32_t oam_id, compute_units; unsigned char padding[4];
  uint64_t graphics_version; uint32_t subsystem_id, reserved[21];
} asic_info;
typedef struct {
  uint64_t socket_power; uint32_t current_socket_power, average_socket_power; uint64_t gfx_voltage, soc_voltage, mem_voltage;
  uint32_t power_limit; unsigned char padding[4]; uint64_t reserved[18];
} power_info;
typedef struct { uint32_t gfx_activity, umc_activity, mm_activity, reserved[13]; } engine_usage;
#pragma pack(pop)

static uint32_t devices(void) { const char *n = getenv("STUB_DEVICES"); return n ? (uint32_t)atoi(n) : 4; }
static uint32_t hip(void *handle) { return devices() - (uint32_t)(uintptr_t)handle; }
static uint32_t watts(void *handle) { return 100 * (hip(handle) + 1); }
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }

int amdsmi_init(uint64_t flags) { (void)flags; return getenv("STUB_NO_INIT") ? DRIVER_NOT_LOADED : OK; }
int amdsmi_shut_down(void) { return OK; }
int amdsmi_status_code_to_string(int status, const char **text) { (void)status; *text = "the stub says no"; return OK; }
int amdsmi_get_socket_handles(uint32_t *count, void **handles) {
  if (handles) handles[0] = (void *)1;
  *count = 1;
  return OK;
}
int amdsmi_get_processor_handles(void *socket, uint32_t *count, void **handles) {
  (void)socket;
  *count = devices();
  for (uint32_t i = 0; handles && i < *count; i++) handles[i] = (void *)(uintptr_t)(i + 1);
  return OK;
}
int amdsmi_get_gpu_enumeration_info(void *handle, enumeration_info *info) {
  memset(info, 0, sizeof *info);
  info->hip_id = hip(handle);
  snprintf(info->hip_uuid, sizeof info->hip_uuid, "GPU-%016x", hip(handle));
  return OK;
}
int amdsmi_get_gpu_asic_info(void *handle, asic_info *info) {
  (void)handle;
  memset(info, 0, sizeof *info);
  strcpy(info->market_name, "STUB of no device");
  strcpy(info->asic_serial, "1");
  return OK;
}
int amdsmi_get_power_info(void *handle, power_info *info) {
  memset(info, 0, sizeof *info);
  info->socket_power = info->current_socket_power = watts(handle);
  info->average_socket_power = 0xFFFF; /* as an MI300X answers: not available */
  return OK;
}
int amdsmi_get_energy_count(void *handle, uint64_t *count, float *resolution, uint64_t *stamp) {
  double joules = getenv("STUB_STILL") ? 7.0 : watts(handle) * now();
  *resolution = RESOLUTION;
  *count = (uint64_t)(joules * 1e6 / RESOLUTION);
  *stamp = (uint64_t)(now() * 1e9);
  return OK;
}
int amdsmi_get_gpu_activity(void *handle, engine_usage *usage) {
  memset(usage, 0, sizeof *usage);
  usage->gfx_activity = 10 * (hip(handle) + 1);
  return OK;
}
int amdsmi_get_gpu_memory_usage(void *handle, uint32_t kind, uint64_t *used) {
  if (kind != 0) return NOT_SUPPORTED; /* 0: VRAM */
  *used = 1000000000ull * (hip(handle) + 1);
  return OK;
}
