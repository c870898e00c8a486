// The model that Triton asks for, as its config tells it, held against what its file says: ../described.py's rules.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "json.h"
#include "triton.h"

namespace tritonpm {

using Dims = std::vector<int64_t>;  // of a model file: -1 for a dynamic one

// Why a model does not load, or a request has no answer: one sentence.
struct Refusal : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// One line, however the runtime breaks its message.
std::string OneLine(std::string_view text);
// "[1, -1]"
std::string Words(const Dims& dims);

struct Type {
  const char* name;  // in a config
  TRITONSERVER_DataType triton;
  size_t size;  // bytes of an element, 0 for text
  int onnx;     // ONNX's number for it
};
// Null where Triton has none of the name, or for the number.
const Type* TypeNamed(std::string_view name);
const Type* TypeOfOnnx(int number);
const Type* TypeOf(TRITONSERVER_DataType triton);

// A tensor of the model file.
struct Described {
  std::string name;
  const Type* type;
  std::optional<Dims> dims;  // nothing: unknown rank
};

// A tensor of the config; dims are those after `reshape`.
struct Configured {
  std::string name;
  std::string type;
  Dims dims;
  bool optional = false;
};

// An input that Triton fills in for a sequence: one of its controls.
struct Control {
  std::string name;
  std::string type;
};

class Model {
 public:
  // What Triton knows of the model now. Throws Refusal.
  explicit Model(TRITONBACKEND_Model* model);

  [[noreturn]] void Refuse(const std::string& sentence) const;

  const Json& config() const { return config_; }
  int64_t max_batch_size() const { return max_batch_size_; }
  const std::vector<Configured>& inputs() const { return inputs_; }
  const std::vector<Configured>& outputs() const { return outputs_; }
  bool scalar(std::string_view name) const { return scalars_.count(std::string(name)) > 0; }

  // The model file, or the folder that the config names instead. Throws Refusal.
  std::string File(const std::string& otherwise) const;
  // Entries of `parameters`: text ("" where there is none), a count, something on or off.
  std::string Parameter(std::string_view name) const;
  int64_t Number(std::string_view name) const;
  bool Switch(std::string_view name, bool otherwise) const;
  // Instances that share this process.
  int64_t Instances() const;

  using Agree = bool (*)(int64_t of_file, int64_t configured);
  // Refuse a config that contradicts the file; note which tensors are scalars of the file.
  void Check(const std::vector<Described>& inputs, const std::vector<Described>& outputs,
             const std::set<std::string>& optional, Agree outputs_agree);
  // The controls of the config's sequence batcher.
  std::vector<Control> Controls() const;
  // Refuse a control that the file does not take. Throws Refusal.
  void CheckControls(const std::vector<Described>& inputs) const;
  // Fill in what the config leaves open, and tell Triton; never against what it says.
  void Complete(TRITONBACKEND_Model* model, const std::vector<Described>& inputs,
                const std::vector<Described>& outputs, bool batches);

 private:
  void CheckOne(const char* kind, const Configured& tensor, const std::vector<Described>& known, Agree agree);
  Json Entry(const Described& tensor) const;

  Json config_;
  std::string folder_;
  int64_t max_batch_size_ = 0;
  std::vector<Configured> inputs_, outputs_;
  std::set<std::string> scalars_;  // of the file, for which a config can only say one element
};

// Throws Refusal where Triton says an error.
void Need(TRITONSERVER_Error* error);

}  // namespace tritonpm
