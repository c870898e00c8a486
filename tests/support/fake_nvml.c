/* A libnvidia-ml.so.1 for machines without a GPU: NVML's own ABI, so that nvidia-ml-py's whole way is exercised.
 *
 * GPU 0 reports all; GPU 1 is a small one that lacks much; GPU 2 is lost; GPU 3 is lost while it is read; GPU 4 is
 * partitioned (MIG) into two. FAKE_NVML_INIT is what nvmlInit answers, FAKE_NVML_GPUS how many GPUs there are,
 * FAKE_NVML_COUNT what counting them answers, FAKE_NVML_PID a process that computes and draws on GPU 0. -DOLD is a
 * driver that knows no limit of power.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, LOST = 15 };
enum { FULL, SMALL, GONE, GOING, PARTED, GPUS, PART };
#define MIB (1ull << 20)

typedef struct { int kind, index; } Device;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } Process;

static Device devices[GPUS] = {{FULL, 0}, {SMALL, 1}, {GONE, 2}, {GOING, 3}, {PARTED, 4}};
static Device parts[2] = {{PART, 0}, {PART, 1}};

static int number(const char *name, int otherwise) { return getenv(name) ? atoi(getenv(name)) : otherwise; }
static int state(const Device *device) { return device->kind == GOING ? LOST : OK; }
static int only_full(const Device *device) {
    return device->kind == FULL ? OK : device->kind == GOING ? LOST : NOT_SUPPORTED;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; return number("FAKE_NVML_INIT", OK); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int error) { return error == 999 ? "Unknown Error" : "an error of the fake"; }
int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = (unsigned)number("FAKE_NVML_GPUS", GPUS);
    return number("FAKE_NVML_COUNT", OK);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
    if (devices[index].kind == GONE) return LOST;
    *device = &devices[index];
    return OK;
}

int nvmlDeviceGetName(const Device *device, char *name, unsigned length) {
    snprintf(name, length, device->kind == PART ? "Fake MIG 1g.5gb" : "Fake GPU %d", device->index);
    return OK;
}

int nvmlDeviceGetUUID(const Device *device, char *uuid, unsigned length) {
    snprintf(uuid, length, device->kind == PART ? "MIG-%d" : "GPU-%d", device->index);
    return OK;
}

int nvmlDeviceGetMemoryInfo(const Device *device, Memory *memory) {
    unsigned long long total = (device->kind == PART ? 5120 : 24576) * MIB, used = 1024 * MIB;
    *memory = (Memory){total, total - used, used};
    return state(device);
}

int nvmlDeviceGetCudaComputeCapability(const Device *device, int *major, int *minor) {
    *major = 8, *minor = 9;
    return state(device);
}

int nvmlSystemGetDriverVersion(char *version, unsigned length) { snprintf(version, length, "580.10"); return OK; }

int nvmlDeviceGetUtilizationRates(const Device *device, Utilization *rates) {
    *rates = (Utilization){37, 12};
    return only_full(device);
}

int nvmlDeviceGetTemperature(const Device *device, int sensor, unsigned *degrees) {
    *degrees = 61;
    return sensor == 0 ? state(device) : NOT_SUPPORTED;
}

int nvmlDeviceGetPowerUsage(const Device *device, unsigned *milliwatts) { *milliwatts = 72500; return only_full(device); }
#ifndef OLD
int nvmlDeviceGetEnforcedPowerLimit(const Device *device, unsigned *milliwatts) {
    *milliwatts = 320000;
    return only_full(device);
}
#endif

int nvmlDeviceGetClockInfo(const Device *device, int type, unsigned *mhz) {
    *mhz = type == 0 ? 1740 : type == 2 ? 10501 : 0;
    return only_full(device);
}

static int processes(unsigned *count, Process *found, Process only) {
    if (found == NULL) return *count = 1, INSUFFICIENT_SIZE;
    if (*count < 1) return INSUFFICIENT_SIZE;
    found[0] = only, *count = 1;
    return OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(const Device *device, unsigned *count, Process *found) {
    if (device->kind == SMALL) return NO_PERMISSION;
    if (device->kind == PART) return processes(count, found, (Process){4000000u + (unsigned)device->index, ~0ull, 1, 0});
    if (device->kind == FULL) return processes(count, found, (Process){(unsigned)number("FAKE_NVML_PID", 1), 512 * MIB, 0, 0});
    return *count = 0, state(device);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(const Device *device, unsigned *count, Process *found) {
    if (device->kind != FULL) return NOT_SUPPORTED;
    return processes(count, found, (Process){(unsigned)number("FAKE_NVML_PID", 1), 512 * MIB, 0, 0});
}

int nvmlDeviceGetMigMode(const Device *device, unsigned *now, unsigned *pending) {
    *now = *pending = device->kind == PARTED;
    return device->kind == SMALL ? NOT_SUPPORTED : state(device);
}

int nvmlDeviceGetMaxMigDeviceCount(const Device *device, unsigned *count) { *count = 7; return state(device); }

int nvmlDeviceGetMigDeviceHandleByIndex(const Device *device, unsigned index, Device **part) {
    if (device->kind != PARTED || (index != 0 && index != 3)) return NOT_FOUND;
    *part = &parts[index == 3];
    return OK;
}
