// A runtime as the backend sees it: ONNX Runtime or OpenVINO, each by its C interface.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model.h"

namespace tritonpm {

// An input of one call. Text lies as Triton has it: each element's length in 4 bytes, then its bytes.
struct Input {
  std::string name;
  const Type* type;
  Dims shape;
  const char* data;
  size_t size;
};

// An output of one call, good until the next call of its stream.
struct Output {
  Dims shape;
  const Type* type;
  const char* data;             // of text: the bytes of all elements, one after the other
  std::vector<size_t> offsets;  // of text: where each element starts, and where the last ends
};

// The product of the dims. Throws Refusal where it is no size.
size_t Elements(const Dims& shape);
// The elements of a text input. Throws Refusal where its bytes are not what its shape says.
std::vector<std::string_view> Texts(const Input& input);

// A model in its runtime, for one caller at a time: an instance of Triton's, or one of its streams.
class Instance {
 public:
  virtual ~Instance() = default;
  // One call: an output for each of the names, in their order. Throws Refusal with the runtime's reason.
  virtual std::vector<Output> Run(const std::vector<Input>& inputs, const std::vector<std::string>& names) = 0;
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  // Fill in what the config leaves open from the model file. Throws Refusal.
  virtual void Complete(Model& model, TRITONBACKEND_Model* triton) = 0;
  // Load the model for as many callers as it runs side by side; refuse a config that contradicts it. Throws Refusal.
  virtual std::vector<std::unique_ptr<Instance>> Load(Model& model, TRITONSERVER_InstanceGroupKind kind) = 0;
};

// The runtime in a shared library of its own. Throws Refusal.
std::unique_ptr<Runtime> Open(const std::string& library);
// Cores that this process may use.
int64_t Cores();
// The part of cores or streams that one of the model's instances takes.
int64_t Share(const Model& model, int64_t count);

}  // namespace tritonpm
