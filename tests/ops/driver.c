/* Stands in for libcuda.so.1: it notes what it is asked to launch, and launches nothing. See launched.py. */

#include <stdint.h>
#include <string.h>

enum { MOST = 64 }; /* parameters of a kernel */

struct launch {
    uint32_t grid[3], block[3], shared, attributes;
    uint64_t stream, function, count, parameters[MOST];
} last;
uint64_t launches;
char unloaded[1024]; /* whether, by module */
char sizes[1024][MOST]; /* of the parameters of each function in bytes, then 0: what is passed are their addresses */

struct config { /* CUlaunchConfig */
    uint32_t grid[3], block[3], shared;
    void *stream, *attributes;
    uint32_t attributes_count;
};

int cuLaunchKernelEx(const struct config *config, uint64_t function, void **parameters, void **extra) {
    memset(&last, 0, sizeof last);
    memcpy(last.grid, config->grid, sizeof last.grid);
    memcpy(last.block, config->block, sizeof last.block);
    last.shared = config->shared;
    last.attributes = config->attributes_count;
    last.stream = (uint64_t)config->stream;
    last.function = function;
    for (const char *size = sizes[function]; *size; size++, last.count++)
        memcpy(&last.parameters[last.count], parameters[last.count], *size);
    launches++;
    return 0;
}

int cuLaunchKernel(uint64_t function, uint32_t x, uint32_t y, uint32_t z, uint32_t bx, uint32_t by, uint32_t bz,
                   uint32_t shared, void *stream, void **parameters, void **extra) {
    struct config config = {{x, y, z}, {bx, by, bz}, shared, stream, 0, 0};
    return cuLaunchKernelEx(&config, function, parameters, extra);
}

/* A module is a number, and so is its one function. */
int cuModuleLoadData(uint64_t *module, const void *image) {
    static uint64_t modules;
    return *module = ++modules, modules >= 1024;
}
int cuModuleGetFunction(uint64_t *function, uint64_t module, const char *name) { return *function = module, 0; }
int cuModuleUnload(uint64_t module) { return unloaded[module] = 1, 0; }


int cuPointerGetAttribute(uint64_t *data, int attribute, uint64_t pointer) { return *data = pointer, 0; }
int cuCtxGetCurrent(uint64_t *context) { return *context = 1, 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { return *value = 227 * 1024, 0; }
int cuFuncGetAttribute(int *value, int attribute, void *function) { return *value = 1024, 0; }

#define DOES_NOTHING(name) int name(void) { return 0; }
DOES_NOTHING(cuCtxGetDevice)
DOES_NOTHING(cuCtxGetLimit)
DOES_NOTHING(cuCtxSetCurrent)
DOES_NOTHING(cuCtxSetLimit)
DOES_NOTHING(cuDeviceGet)
DOES_NOTHING(cuDeviceGetCount)
DOES_NOTHING(cuDevicePrimaryCtxRetain)
DOES_NOTHING(cuDriverGetVersion)
DOES_NOTHING(cuFuncSetAttribute)
DOES_NOTHING(cuFuncSetCacheConfig)
DOES_NOTHING(cuGetErrorString)
DOES_NOTHING(cuInit)
DOES_NOTHING(cuStreamIsCapturing)
