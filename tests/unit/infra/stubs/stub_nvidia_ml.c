/* A STUB of NVIDIA's libnvidia-ml.so.1: no device is behind it. It answers what Zeus and infra/gauges.py ask, so that
 * their real Python paths run. Device i draws 100 × (i + 1) watts, is 10 × (i + 1) per cent busy and holds (i + 1) GB,
 * and half a GB more by the older call, which counts what the driver keeps. STUB_DEVICES: how many (default 4);
 * STUB_OLD: a driver without the newer call and without energy counters; STUB_NO_INIT: no driver. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, INVALID = 2, DRIVER_NOT_LOADED = 9, FUNCTION_NOT_FOUND = 13 };
enum { PASCAL = 4, HOPPER = 9 };

typedef struct { unsigned int gpu, memory; } utilization;
typedef struct { unsigned long long total, free, used; } memory_v1;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } memory_v2;

static unsigned devices(void) { const char *n = getenv("STUB_DEVICES"); return n ? (unsigned)atoi(n) : 4; }
static unsigned number(void *handle) { return (unsigned)(uintptr_t)handle; } /* from 1 */
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }

int nvmlInitWithFlags(unsigned flags) { (void)flags; return getenv("STUB_NO_INIT") ? DRIVER_NOT_LOADED : OK; }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { (void)code; return "the stub says no"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = devices(); return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
  if (index >= devices()) return INVALID;
  *handle = (void *)(uintptr_t)(index + 1);
  return OK;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) { /* GPU-0 to GPU-9 */
  if (strlen(uuid) != 5 || (unsigned)(uuid[4] - '0') >= devices()) return NOT_FOUND;
  return nvmlDeviceGetHandleByIndex_v2((unsigned)(uuid[4] - '0'), handle);
}
int nvmlDeviceGetC2cModeInfoV(void *handle, void *info) { (void)handle; (void)info; return NOT_SUPPORTED; }
int nvmlDeviceGetArchitecture(void *handle, unsigned *architecture) {
  (void)handle;
  *architecture = getenv("STUB_OLD") ? PASCAL : HOPPER;
  return OK;
}
int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *millijoules) {
  *millijoules = (unsigned long long)(1e5 * number(handle) * now());
  return OK;
}
int nvmlDeviceGetUtilizationRates(void *handle, utilization *rates) {
  rates->gpu = 10 * number(handle);
  rates->memory = 0;
  return OK;
}
int nvmlDeviceGetMemoryInfo(void *handle, memory_v1 *info) {
  info->used = 1000000000ull * number(handle) + 500000000ull;
  return OK;
}
int nvmlDeviceGetMemoryInfo_v2(void *handle, memory_v2 *info) {
  if (getenv("STUB_OLD")) return FUNCTION_NOT_FOUND;
  info->used = 1000000000ull * number(handle);
  return OK;
}
