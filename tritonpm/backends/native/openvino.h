// OpenVINO's C interface: what is used of it. Source: its C API documentation.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ov {

struct Core;
struct Model;
struct CompiledModel;
struct Request;
struct Port;
struct Tensor;
struct Steps;
struct InputInfo;
struct InputTensorInfo;
struct OutputInfo;
struct OutputTensorInfo;

using Status = int;
struct Shape {
  int64_t rank;
  int64_t* dims;
};
struct Dimension {
  int64_t min, max;
};
struct PartialShape {
  Dimension rank;
  Dimension* dims;
};

// The numbers of element types as of 2025; before that all were one higher.
enum Element : int {
  kBoolean = 1, kBf16 = 2, kF16, kF32, kF64, kI8 = 7, kI16, kI32, kI64, kU8 = 16, kU16, kU32, kU64, kString = 23
};

// Each function's name after "ov_", and its type.
#define TRITONPM_OV_FUNCTIONS(F)                                                                           \
  F(free, void(const char*))                                                                               \
  F(get_error_info, const char*(Status))                                                                   \
  F(get_last_err_msg, const char*())                                                                       \
  F(core_create, Status(Core**))                                                                           \
  F(core_free, void(Core*))                                                                                \
  F(core_read_model, Status(const Core*, const char* path, const char* weights, Model**))                  \
  F(core_compile_model, Status(const Core*, const Model*, const char* device, size_t, CompiledModel**, ...)) \
  F(model_free, void(Model*))                                                                              \
  F(model_inputs_size, Status(const Model*, size_t*))                                                      \
  F(model_outputs_size, Status(const Model*, size_t*))                                                     \
  F(model_const_input_by_index, Status(const Model*, size_t, Port**))                                      \
  F(model_const_output_by_index, Status(const Model*, size_t, Port**))                                     \
  F(model_const_input_by_name, Status(const Model*, const char*, Port**))                                  \
  F(model_const_output_by_name, Status(const Model*, const char*, Port**))                                 \
  F(model_reshape, Status(const Model*, const char** names, const PartialShape*, size_t count))            \
  F(output_const_port_free, void(Port*))                                                                   \
  F(port_get_any_name, Status(const Port*, char**))                                                        \
  F(port_get_element_type, Status(const Port*, int*))                                                      \
  F(port_get_partial_shape, Status(const Port*, PartialShape*))                                            \
  F(partial_shape_free, void(PartialShape*))                                                               \
  F(shape_free, Status(Shape*))                                                                            \
  F(preprocess_prepostprocessor_create, Status(const Model*, Steps**))                                     \
  F(preprocess_prepostprocessor_free, void(Steps*))                                                        \
  F(preprocess_prepostprocessor_build, Status(const Steps*, Model**))                                      \
  F(preprocess_prepostprocessor_get_input_info_by_index, Status(const Steps*, size_t, InputInfo**))        \
  F(preprocess_input_info_free, void(InputInfo*))                                                          \
  F(preprocess_input_info_get_tensor_info, Status(const InputInfo*, InputTensorInfo**))                    \
  F(preprocess_input_tensor_info_free, void(InputTensorInfo*))                                             \
  F(preprocess_input_tensor_info_set_element_type, Status(InputTensorInfo*, int))                          \
  F(preprocess_prepostprocessor_get_output_info_by_index, Status(const Steps*, size_t, OutputInfo**))      \
  F(preprocess_output_info_free, void(OutputInfo*))                                                        \
  F(preprocess_output_info_get_tensor_info, Status(const OutputInfo*, OutputTensorInfo**))                 \
  F(preprocess_output_tensor_info_free, void(OutputTensorInfo*))                                           \
  F(preprocess_output_set_element_type, Status(OutputTensorInfo*, int))                                    \
  F(compiled_model_free, void(CompiledModel*))                                                             \
  F(compiled_model_inputs_size, Status(const CompiledModel*, size_t*))                                     \
  F(compiled_model_input_by_name, Status(const CompiledModel*, const char*, Port**))                       \
  F(compiled_model_output_by_name, Status(const CompiledModel*, const char*, Port**))                      \
  F(compiled_model_get_property, Status(const CompiledModel*, const char*, char**))                        \
  F(compiled_model_create_infer_request, Status(const CompiledModel*, Request**))                          \
  F(infer_request_free, void(Request*))                                                                    \
  F(infer_request_set_tensor_by_const_port, Status(Request*, const Port*, const Tensor*))                  \
  F(infer_request_get_tensor_by_const_port, Status(const Request*, const Port*, Tensor**))                 \
  F(infer_request_infer, Status(Request*))                                                                 \
  F(tensor_create, Status(int, Shape, Tensor**))                                                           \
  F(tensor_create_from_host_ptr, Status(int, Shape, void*, Tensor**))                                      \
  F(tensor_free, void(Tensor*))                                                                            \
  F(tensor_get_shape, Status(const Tensor*, Shape*))                                                       \
  F(tensor_get_element_type, Status(const Tensor*, int*))                                                  \
  F(tensor_get_size, Status(const Tensor*, size_t*))                                                       \
  F(tensor_get_byte_size, Status(const Tensor*, size_t*))                                                  \
  F(tensor_data, Status(const Tensor*, void**))

struct Api {
#define TRITONPM_OV_MEMBER(name, ...) \
  using type_of_##name = __VA_ARGS__; \
  type_of_##name* name;
  TRITONPM_OV_FUNCTIONS(TRITONPM_OV_MEMBER)
#undef TRITONPM_OV_MEMBER
};

}  // namespace ov
