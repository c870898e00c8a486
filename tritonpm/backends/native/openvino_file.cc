#include "openvino_file.h"

#include <dlfcn.h>

#include <algorithm>
#include <cctype>

namespace tritonpm {
namespace {

ov::Api api;
constexpr ov::Status kWrongCall = -14;  // from here down, it is the call that is wrong, and no message is kept
int offset;                             // of the library's numbers of element types

struct Pair {
  TRITONSERVER_DataType triton;
  ov::Element element;
};
constexpr Pair kElements[] = {
    {kBool, ov::kBoolean}, {kUint8, ov::kU8}, {kUint16, ov::kU16}, {kUint32, ov::kU32}, {kUint64, ov::kU64},
    {kInt8, ov::kI8},      {kInt16, ov::kI16}, {kInt32, ov::kI32}, {kInt64, ov::kI64},  {kFp16, ov::kF16},
    {kFp32, ov::kF32},     {kFp64, ov::kF64}, {kBf16, ov::kBf16},  {kBytes, ov::kString},
};

// Bytes of one element of a type, 0 where OpenVINO makes no tensor of it.
size_t SizeOf(int element) {
  int64_t one = 1;
  Held<ov::Tensor> tensor(api.tensor_free);
  size_t size = 0;
  if (api.tensor_create(element, {1, &one}, tensor.fill()) || api.tensor_get_byte_size(tensor.get(), &size)) return 0;
  return size;
}

// OpenVINO's message without the places in its source: "Exception from src/…:12:", "Check '…' failed at src/…:12:".
std::string Plain(std::string text) {
  for (std::string_view mark : {"Exception from ", " failed at "}) {
    for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos;) {
      size_t line = text.find_first_of(" \n", at + mark.size());
      size_t end = line == std::string::npos ? text.size() : line;
      if (text[end - 1] != ':') {
        at = end;
        continue;
      }
      size_t start = mark[0] == ' ' ? text.rfind("Check ", at) : at;
      if (start == std::string::npos) start = at;
      text.erase(start, end - start);
      at = start;
    }
  }
  return OneLine(text);
}

Held<ov::Port> Port() { return Held<ov::Port>(api.output_const_port_free); }

std::string Name(const Model& model, const ov::Port* port) {
  char* name;
  if (api.port_get_any_name(port, &name)) model.Refuse("an input or output of the model file has no name");
  std::string kept = name;
  api.free(name);
  return kept;
}

std::optional<Dims> Shape(const ov::Port* port) {
  ov::PartialShape shape;
  Need(api.port_get_partial_shape(port, &shape));
  std::optional<Dims> dims;
  if (shape.rank.min == shape.rank.max) {
    dims.emplace();
    for (int64_t at = 0; at < shape.rank.max; at++) {
      dims->push_back(shape.dims[at].min == shape.dims[at].max ? shape.dims[at].max : -1);
    }
  }
  api.partial_shape_free(&shape);
  return dims;
}

}  // namespace

const ov::Api& Ov() { return api; }

void OpenLibrary(const std::string& library) {
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays open: its threads may outlive the backend
  if (!handle) throw Refusal(std::string("OpenVINO cannot be loaded: ") + dlerror());
  auto take = [&](auto*& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
    if (!function) throw Refusal(library + " has no " + name);
  };
#define TRITONPM_OV_TAKE(name, ...) take(api.name, "ov_" #name);
  TRITONPM_OV_FUNCTIONS(TRITONPM_OV_TAKE)
#undef TRITONPM_OV_TAKE
  offset = SizeOf(ov::kBoolean) == 1 ? 0 : 1;
  for (const auto& [triton, element] : kElements) {
    size_t wanted = TypeOf(triton)->size;
    if (wanted && SizeOf(element + offset) != wanted) throw Refusal(library + " numbers its types in a way that is not known");
  }
}

void Need(ov::Status status) {
  if (!status) return;
  if (status <= kWrongCall) throw Refusal(api.get_error_info(status));
  const char* said = api.get_last_err_msg();  // of the process, so it is read at once
  std::string sentence = Plain(said && *said ? said : api.get_error_info(status));
  api.free(said);
  throw Refusal(sentence);
}

const Type* TypeOfElement(int element) {
  for (const auto& [triton, known] : kElements) {
    if (known + offset == element) return TypeOf(triton);
  }
  return nullptr;
}

int ElementOf(const Type& type) {
  for (const auto& [triton, known] : kElements) {
    if (triton == type.triton) return known + offset;
  }
  return -1;
}

std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char letter) { return std::toupper(letter); });
  return text;
}

File::File(const Model& model, const ov::Core* core, const std::string& path) : file_(api.model_free) {
  try {
    Need(api.core_read_model(core, path.c_str(), nullptr, file_.fill()));
  } catch (const Refusal& refusal) {
    model.Refuse("OpenVINO cannot read " + path.substr(path.rfind('/') + 1) + ": " + refusal.what());
  }
}

std::vector<Described> File::Described(const Model& model, const std::vector<Configured>& configured,
                                       bool inputs) const {
  auto named = inputs ? api.model_const_input_by_name : api.model_const_output_by_name;
  auto indexed = inputs ? api.model_const_input_by_index : api.model_const_output_by_index;
  size_t count;
  Need((inputs ? api.model_inputs_size : api.model_outputs_size)(file_.get(), &count));
  std::vector<tritonpm::Described> tensors;
  for (size_t at = 0; at < count; at++) {
    Held<ov::Port> port = Port();
    Need(indexed(file_.get(), at, port.fill()));
    std::string name = Name(model, port.get());
    int element;
    Need(api.port_get_element_type(port.get(), &element));
    const Type* type = TypeOfElement(element);
    if (!type) model.Refuse("tensor '" + name + "' is of a type that Triton does not have");
    tensors.push_back({name, type, Shape(port.get())});
  }
  std::vector<std::string> first;
  for (const auto& tensor : tensors) first.push_back(tensor.name);
  for (const Configured& tensor : configured) {
    Held<ov::Port> port = Port();
    if (named(file_.get(), tensor.name.c_str(), port.fill())) continue;
    auto found = std::find(first.begin(), first.end(), Name(model, port.get()));
    if (found != first.end()) tensors[static_cast<size_t>(found - first.begin())].name = tensor.name;
  }
  return tensors;
}

void File::Convert(const Model& model) {
  Held<ov::Steps> steps(api.preprocess_prepostprocessor_free);
  Need(api.preprocess_prepostprocessor_create(file_.get(), steps.fill()));
  bool any = false;
  for (bool inputs : {true, false}) {
    const std::vector<Configured>& configured = inputs ? model.inputs() : model.outputs();
    std::vector<tritonpm::Described> tensors = Described(model, configured, inputs);
    for (size_t at = 0; at < tensors.size(); at++) {
      auto said = std::find_if(configured.begin(), configured.end(),
                               [&](const Configured& tensor) { return tensor.name == tensors[at].name; });
      const Type* wanted = said == configured.end() ? nullptr : TypeNamed(said->type);
      if (!wanted || wanted == tensors[at].type || !wanted->size || !tensors[at].type->size) continue;
      any = true;
      if (inputs) {
        Held<ov::InputInfo> info(api.preprocess_input_info_free);
        Held<ov::InputTensorInfo> tensor(api.preprocess_input_tensor_info_free);
        Need(api.preprocess_prepostprocessor_get_input_info_by_index(steps.get(), at, info.fill()));
        Need(api.preprocess_input_info_get_tensor_info(info.get(), tensor.fill()));
        Need(api.preprocess_input_tensor_info_set_element_type(tensor.get(), ElementOf(*wanted)));
      } else {
        Held<ov::OutputInfo> info(api.preprocess_output_info_free);
        Held<ov::OutputTensorInfo> tensor(api.preprocess_output_tensor_info_free);
        Need(api.preprocess_prepostprocessor_get_output_info_by_index(steps.get(), at, info.fill()));
        Need(api.preprocess_output_info_get_tensor_info(info.get(), tensor.fill()));
        Need(api.preprocess_output_set_element_type(tensor.get(), ElementOf(*wanted)));
      }
    }
  }
  if (!any) return;
  Held<ov::Model> built(api.model_free);
  Need(api.preprocess_prepostprocessor_build(steps.get(), built.fill()));
  file_.Swap(built);
}

void File::Reshape(const Model& model) {
  const bool batched = model.max_batch_size() > 0;
  std::vector<tritonpm::Described> inputs = Described(model, model.inputs(), true);
  if (model.Switch("RESHAPE_IO_LAYERS", false)) {
    std::vector<tritonpm::Described> shaped;
    for (const auto& input : inputs) {
      auto said = std::find_if(model.inputs().begin(), model.inputs().end(),
                               [&](const Configured& tensor) { return tensor.name == input.name; });
      if (said == model.inputs().end()) continue;
      Dims dims = said->dims;
      if (batched) dims.insert(dims.begin(), input.dims && !input.dims->empty() ? input.dims->front() : -1);
      shaped.push_back({input.name, input.type, dims});
    }
    Give(model, shaped, "OpenVINO cannot give the model the config's dims");
    inputs = Described(model, model.inputs(), true);
  }
  auto fixed = [](const auto& input) { return input.dims && !input.dims->empty() && input.dims->front() != -1; };
  if (batched && std::any_of(inputs.begin(), inputs.end(), fixed)) {
    for (auto& input : inputs) {
      if (fixed(input)) input.dims->front() = -1;
    }
    Give(model, inputs, "OpenVINO cannot give the model a batch axis, set max_batch_size to 0");
  }
}

void File::Give(const Model& model, const std::vector<tritonpm::Described>& shaped, const std::string& failure) {
  std::vector<std::vector<ov::Dimension>> sizes;
  std::vector<ov::PartialShape> shapes;
  std::vector<const char*> names;
  sizes.reserve(shaped.size());
  for (const auto& tensor : shaped) {
    if (!tensor.dims) continue;
    std::vector<ov::Dimension>& dims = sizes.emplace_back();
    for (int64_t size : *tensor.dims) dims.push_back({size == -1 ? 0 : size, size});
    int64_t rank = static_cast<int64_t>(dims.size());
    shapes.push_back({{rank, rank}, dims.data()});
    names.push_back(tensor.name.c_str());
  }
  try {
    Need(api.model_reshape(file_.get(), names.data(), shapes.data(), names.size()));
  } catch (const Refusal& refusal) {
    model.Refuse(failure + ": " + refusal.what());
  }
}

}  // namespace tritonpm
