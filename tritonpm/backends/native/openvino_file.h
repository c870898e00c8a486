// A model file in OpenVINO, and what the config makes of it before it is compiled.
#pragma once

#include <string>
#include <vector>

#include "held.h"
#include "model.h"
#include "openvino.h"

namespace tritonpm {

constexpr char kDefaultFile[] = "model.xml";

// OpenVINO's functions; OpenLibrary has to come first.
const ov::Api& Ov();
// Throws Refusal where the library is not the interface that is known here.
void OpenLibrary(const std::string& library);
// Throws Refusal where OpenVINO says an error, without the places in its source that it starts with.
void Need(ov::Status status);

// Null, or -1, where Triton or OpenVINO has no such type.
const Type* TypeOfElement(int element);
int ElementOf(const Type& type);
std::string Upper(std::string text);

class File {
 public:
  // Throws Refusal.
  File(const Model& model, const ov::Core* core, const std::string& path);
  const ov::Model* model() const { return file_.get(); }
  // The inputs or outputs, each under the name that the config uses, where it uses one of its names.
  std::vector<tritonpm::Described> Described(const Model& model, const std::vector<Configured>& configured,
                                             bool inputs) const;
  // Have OpenVINO convert where the config says another numeric type than the file, as the native backend does.
  void Convert(const Model& model);
  // RESHAPE_IO_LAYERS takes the config's dims; max_batch_size makes a fixed first dimension a batch axis.
  void Reshape(const Model& model);

 private:
  void Give(const Model& model, const std::vector<tritonpm::Described>& shaped, const std::string& failure);

  Held<ov::Model> file_;
};

}  // namespace tritonpm
