// ONNX Runtime's C interface: a table of functions to which every version only adds. Source: its C API documentation.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ort {

struct Status;
struct Env;
struct SessionOptions;
struct Session;
struct RunOptions;
struct Value;
struct TypeInfo;
struct TensorInfo;
struct MemoryInfo;
struct Allocator;

constexpr uint32_t kVersion = 15;  // of the interface, the first with all that is used here
constexpr int kLogErrors = 3, kNoOptimization = 0, kArenaAllocator = 1, kDefaultMemory = 0, kTensor = 1, kText = 8;

struct ApiBase {
  const void* const* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

// Each function's place in the table, and its type.
#define TRITONPM_ORT_FUNCTIONS(F)                                                                             \
  F(2, GetErrorMessage, const char*(const Status*))                                                           \
  F(3, CreateEnv, Status*(int level, const char* id, Env**))                                                  \
  F(7, CreateSession, Status*(const Env*, const char* path, const SessionOptions*, Session**))                \
  F(9, Run,                                                                                                   \
    Status*(Session*, const RunOptions*, const char* const* inputs, const Value* const* values, size_t count, \
            const char* const* outputs, size_t output_count, Value**))                                        \
  F(10, CreateSessionOptions, Status*(SessionOptions**))                                                      \
  F(13, SetSessionExecutionMode, Status*(SessionOptions*, int mode))                                          \
  F(16, EnableMemPattern, Status*(SessionOptions*))                                                           \
  F(17, DisableMemPattern, Status*(SessionOptions*))                                                          \
  F(18, EnableCpuMemArena, Status*(SessionOptions*))                                                          \
  F(19, DisableCpuMemArena, Status*(SessionOptions*))                                                         \
  F(22, SetSessionLogSeverityLevel, Status*(SessionOptions*, int level))                                      \
  F(23, SetSessionGraphOptimizationLevel, Status*(SessionOptions*, int level))                                \
  F(24, SetIntraOpNumThreads, Status*(SessionOptions*, int count))                                            \
  F(25, SetInterOpNumThreads, Status*(SessionOptions*, int count))                                            \
  F(30, SessionGetInputCount, Status*(const Session*, size_t*))                                               \
  F(31, SessionGetOutputCount, Status*(const Session*, size_t*))                                              \
  F(32, SessionGetOverridableInitializerCount, Status*(const Session*, size_t*))                              \
  F(33, SessionGetInputTypeInfo, Status*(const Session*, size_t, TypeInfo**))                                 \
  F(34, SessionGetOutputTypeInfo, Status*(const Session*, size_t, TypeInfo**))                                \
  F(35, SessionGetOverridableInitializerTypeInfo, Status*(const Session*, size_t, TypeInfo**))                \
  F(36, SessionGetInputName, Status*(const Session*, size_t, Allocator*, char**))                             \
  F(37, SessionGetOutputName, Status*(const Session*, size_t, Allocator*, char**))                            \
  F(38, SessionGetOverridableInitializerName, Status*(const Session*, size_t, Allocator*, char**))            \
  F(39, CreateRunOptions, Status*(RunOptions**))                                                              \
  F(48, CreateTensorAsOrtValue, Status*(Allocator*, const int64_t* shape, size_t rank, int type, Value**))    \
  F(49, CreateTensorWithDataAsOrtValue,                                                                       \
    Status*(const MemoryInfo*, void* data, size_t size, const int64_t* shape, size_t rank, int type, Value**)) \
  F(50, IsTensor, Status*(const Value*, int*))                                                                \
  F(51, GetTensorMutableData, Status*(Value*, void**))                                                        \
  F(53, GetStringTensorDataLength, Status*(const Value*, size_t*))                                            \
  F(54, GetStringTensorContent, Status*(const Value*, void*, size_t size, size_t* offsets, size_t count))     \
  F(55, CastTypeInfoToTensorInfo, Status*(const TypeInfo*, const TensorInfo**))                               \
  F(60, GetTensorElementType, Status*(const TensorInfo*, int*))                                               \
  F(61, GetDimensionsCount, Status*(const TensorInfo*, size_t*))                                              \
  F(62, GetDimensions, Status*(const TensorInfo*, int64_t*, size_t))                                          \
  F(65, GetTensorTypeAndShape, Status*(const Value*, TensorInfo**))                                           \
  F(69, CreateCpuMemoryInfo, Status*(int allocator, int type, MemoryInfo**))                                  \
  F(76, AllocatorFree, Status*(Allocator*, void*))                                                            \
  F(78, GetAllocatorWithDefaultOptions, Status*(Allocator**))                                                 \
  F(92, ReleaseEnv, void(Env*))                                                                               \
  F(93, ReleaseStatus, void(Status*))                                                                         \
  F(94, ReleaseMemoryInfo, void(MemoryInfo*))                                                                 \
  F(95, ReleaseSession, void(Session*))                                                                       \
  F(96, ReleaseValue, void(Value*))                                                                           \
  F(97, ReleaseRunOptions, void(RunOptions*))                                                                 \
  F(98, ReleaseTypeInfo, void(TypeInfo*))                                                                     \
  F(99, ReleaseTensorInfo, void(TensorInfo*))                                                                 \
  F(100, ReleaseSessionOptions, void(SessionOptions*))                                                        \
  F(130, AddSessionConfigEntry, Status*(SessionOptions*, const char* key, const char* value))                 \
  F(165, AddRunConfigEntry, Status*(RunOptions*, const char* key, const char* value))                         \
  F(252, GetResizedStringTensorElementBuffer, Status*(Value*, size_t index, size_t size, char**))

template <class Function>
using Pointer = Function*;

struct Api {
  explicit Api(const void* const* table)
      :
#define TRITONPM_ORT_FROM(place, name, ...) name(reinterpret_cast<Pointer<__VA_ARGS__>>(const_cast<void*>(table[place]))),
        TRITONPM_ORT_FUNCTIONS(TRITONPM_ORT_FROM) table_(table) {
  }
#undef TRITONPM_ORT_FROM
#define TRITONPM_ORT_MEMBER(place, name, ...) Pointer<__VA_ARGS__> name;
  TRITONPM_ORT_FUNCTIONS(TRITONPM_ORT_MEMBER)
#undef TRITONPM_ORT_MEMBER
  const void* const* table_;
};

}  // namespace ort
