// ../openvino/model.py in C++: the same options, checks and sentences.
#include "openvino.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "held.h"
#include "ir_layouts.h"
#include "openvino_file.h"
#include "runtime.h"

namespace tritonpm {
namespace {

using Properties = std::vector<std::pair<std::string, std::string>>;
constexpr size_t kMostProperties = 8;

// OpenVINO's properties on the CPU. Each instance of Triton's gets its share of the cores.
Properties OnCpu(const Model& model) {
  int64_t cores = Cores(), wanted = model.Number("INFERENCE_NUM_THREADS"), threads = Share(model, wanted ? wanted : cores);
  std::string hint = Upper(model.Parameter("PERFORMANCE_HINT")), streams = Upper(model.Parameter("NUM_STREAMS"));
  std::string precision = model.Parameter("INFERENCE_PRECISION_HINT");
  // OpenVINO's own default is bf16 where the CPU has it: twice as fast, and off by up to a few per cent.
  if (precision.empty()) precision = "f32";
  if (model.Switch("HINT_BF16", false)) precision = "bf16";
  Properties properties = {{"PERFORMANCE_HINT", hint.empty() ? "LATENCY" : hint},
                           {"INFERENCE_NUM_THREADS", std::to_string(threads)},
                           {"INFERENCE_PRECISION_HINT", precision}};
  // Pinned, the threads of every instance would sit on the same first cores.
  if (threads < cores) properties.emplace_back("ENABLE_CPU_PINNING", "NO");
  bool number = !streams.empty() && streams.size() < 10 &&
                std::all_of(streams.begin(), streams.end(), [](unsigned char letter) { return std::isdigit(letter); });
  if (number) streams = std::to_string(Share(model, std::stoll(streams)));
  if (!streams.empty()) properties.emplace_back("NUM_STREAMS", streams);
  return properties;
}

std::string Braced(const Properties& properties) {
  std::string text;
  for (const auto& [name, value] : properties) text += (text.empty() ? "" : ",") + name + ":" + value;
  return "{" + text + "}";
}

// What OpenVINO is told for a device string; ../openvino/devices.py's rules.
Properties PropertiesFor(const std::string& device, const Properties& on_cpu) {
  Properties hint, rest, on_gpu;
  for (const auto& property : on_cpu) {
    (property.first == "PERFORMANCE_HINT" ? hint : rest).push_back(property);
    bool known = property.second == "f32" || property.second == "f16";
    if (property.first == "INFERENCE_PRECISION_HINT" && known) on_gpu.push_back(property);
  }
  size_t colon = device.find(':');
  std::string plugin = device.substr(0, colon), inner = colon == std::string::npos ? "" : device.substr(colon + 1);
  if (plugin == "AUTO" || plugin == "HETERO" || plugin == "MULTI") {
    std::string each = "{CPU:" + Braced(rest) + (on_gpu.empty() ? "" : ",GPU:" + Braced(on_gpu)) + "}";
    hint.emplace_back("DEVICE_PROPERTIES", each);
    return hint;
  }
  std::string kind = plugin == "BATCH" ? inner : device;
  kind = kind.substr(0, kind.find('('));
  kind = kind.substr(0, kind.find('.'));
  if (kind == "CPU") return on_cpu;
  if (kind == "GPU") hint.insert(hint.end(), on_gpu.begin(), on_gpu.end());
  return hint;
}

// A compiled model, which its streams share.
struct Compiled {
  Held<ov::CompiledModel> model{Ov().compiled_model_free};
  size_t inputs = 0, streams = 1;
};

class Stream : public Instance {
 public:
  explicit Stream(std::shared_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {
    Need(Ov().compiled_model_create_infer_request(compiled_->model.get(), request_.fill()));
  }

  std::vector<Output> Run(const std::vector<Input>& inputs, const std::vector<std::string>& names) override {
    taken_.clear();
    if (inputs.size() != compiled_->inputs) {  // what an earlier call left there must not be read again
      throw Refusal("the request has " + std::to_string(inputs.size()) + " inputs, the model file " +
                    std::to_string(compiled_->inputs));
    }
    std::vector<Held<ov::Tensor>> given;
    for (const Input& input : inputs) {
      given.push_back(Given(input));
      const ov::Port* port = Known(inputs_, input.name, Ov().compiled_model_input_by_name);
      Need(Ov().infer_request_set_tensor_by_const_port(request_.get(), port, given.back().get()));
    }
    Need(Ov().infer_request_infer(request_.get()));
    std::vector<Output> outputs;
    for (const std::string& name : names) outputs.push_back(Taken(name));
    return outputs;
  }

 private:
  using Ports = std::map<std::string, Held<ov::Port>>;

  const ov::Port* Known(Ports& ports, const std::string& name, decltype(ov::Api::compiled_model_input_by_name) find) {
    auto known = ports.find(name);
    if (known == ports.end()) {
      Held<ov::Port> port(Ov().output_const_port_free);
      Need(find(compiled_->model.get(), name.c_str(), port.fill()));
      known = ports.emplace(name, std::move(port)).first;
    }
    return known->second.get();
  }

  Held<ov::Tensor> Given(const Input& input) {
    Held<ov::Tensor> tensor(Ov().tensor_free);
    int64_t none = 0;  // OpenVINO takes no null for the dims of a scalar
    ov::Shape shape{static_cast<int64_t>(input.shape.size()),
                    input.shape.empty() ? &none : const_cast<int64_t*>(input.shape.data())};
    Need(Ov().tensor_create_from_host_ptr(ElementOf(*input.type), shape, const_cast<char*>(input.data), tensor.fill()));
    return tensor;
  }

  Output Taken(const std::string& name) {
    const ov::Port* port = Known(outputs_, name, Ov().compiled_model_output_by_name);
    ov::Tensor*& tensor = *taken_.emplace_back(Ov().tensor_free).fill();
    Need(Ov().infer_request_get_tensor_by_const_port(request_.get(), port, &tensor));
    Output output{Shape(tensor), nullptr, nullptr, {}};
    int element;
    Need(Ov().tensor_get_element_type(tensor, &element));
    output.type = TypeOfElement(element);
    if (!output.type || !output.type->size) throw Refusal("output '" + name + "' is of a type that is not served");
    void* data = nullptr;
    if (Elements(output.shape)) Need(Ov().tensor_data(tensor, &data));
    output.data = static_cast<const char*>(data);
    return output;
  }

  static Dims Shape(const ov::Tensor* tensor) {
    size_t elements;
    ov::Shape shape{0, nullptr};
    Need(Ov().tensor_get_size(tensor, &elements));
    ov::Status status = Ov().tensor_get_shape(tensor, &shape);
    if (status && elements == 1) return {};  // OpenVINO's C interface has no shape for a scalar
    Need(status);
    Dims dims(shape.dims, shape.dims + shape.rank);
    Ov().shape_free(&shape);
    return dims;
  }

  std::shared_ptr<Compiled> compiled_;
  Held<ov::Request> request_{Ov().infer_request_free};
  Ports inputs_, outputs_;
  std::vector<Held<ov::Tensor>> taken_;  // of the last call
};

class OpenVino : public Runtime {
 public:
  OpenVino() { Need(Ov().core_create(core_.fill())); }

  void Complete(Model& model, TRITONBACKEND_Model* triton) override {
    std::string path = model.File(kDefaultFile);
    File file(model, core_.get(), path);
    model.Complete(triton, file.Described(model, {}, true), file.Described(model, {}, false), LayoutsNameABatch(path));
  }

  std::vector<std::unique_ptr<Instance>> Load(Model& model, TRITONSERVER_InstanceGroupKind kind) override {
    if (kind == kKindGpu || kind == kKindModel) {
      model.Refuse(std::string("the openvino backend has no ") + (kind == kKindGpu ? "KIND_GPU" : "KIND_MODEL") +
                   "; use KIND_CPU, or KIND_AUTO with parameter TARGET_DEVICE");
    }
    if (!model.Parameter("CPU_EXTENSION_PATH").empty()) {
      model.Refuse("parameter CPU_EXTENSION_PATH would run a library's code, which is not done here");
    }
    File file(model, core_.get(), model.File(kDefaultFile));
    file.Convert(model);
    file.Reshape(model);
    auto inputs = file.Described(model, model.inputs(), true), outputs = file.Described(model, model.outputs(), false);
    model.Check(inputs, outputs, {}, [](int64_t of_file, int64_t said) { return of_file == -1 || of_file == said; });
    for (const auto* tensors : {&inputs, &outputs}) {
      // OpenVINO 2026.4 frees text twice where a model hands it on, which would end the server.
      for (const auto& tensor : *tensors) {
        if (!tensor.type->size)
          model.Refuse("'" + tensor.name +
                       "' is text, which only the Python-based backend serves (TRITONPM_BACKENDS=python)");
      }
    }
    auto compiled = std::make_shared<Compiled>();
    Compile(model, file, *compiled);
    std::vector<std::unique_ptr<Instance>> streams;
    while (streams.size() < compiled->streams) streams.push_back(std::make_unique<Stream>(compiled));
    return streams;
  }

 private:
  void Compile(const Model& model, const File& file, Compiled& compiled) {
    std::string device = model.Parameter("TARGET_DEVICE");
    std::transform(device.begin(), device.end(), device.begin(), [](unsigned char letter) { return std::toupper(letter); });
    if (device.empty()) device = "CPU";
    Properties properties = PropertiesFor(device, OnCpu(model));
    size_t count = std::min(properties.size(), kMostProperties);
    std::array<const char*, 2 * kMostProperties> p{};  // what lies behind `count` pairs is not read
    for (size_t at = 0; at < count; at++) {
      p[2 * at] = properties[at].first.c_str();
      p[2 * at + 1] = properties[at].second.c_str();
    }
    try {
      Need(Ov().core_compile_model(core_.get(), file.model(), device.c_str(), 2 * count, compiled.model.fill(), p[0],
                                   p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11], p[12], p[13],
                                   p[14], p[15]));
      Need(Ov().compiled_model_inputs_size(compiled.model.get(), &compiled.inputs));
      char* streams;
      Need(Ov().compiled_model_get_property(compiled.model.get(), "OPTIMAL_NUMBER_OF_INFER_REQUESTS", &streams));
      compiled.streams = static_cast<size_t>(std::max(1L, std::strtol(streams, nullptr, 10)));
      Ov().free(streams);
    } catch (const Refusal& refusal) {
      model.Refuse("OpenVINO cannot compile the model for " + device + ": " + refusal.what());
    }
  }

  Held<ov::Core> core_{Ov().core_free};
};

}  // namespace

std::unique_ptr<Runtime> Open(const std::string& library) {
  OpenLibrary(library);
  return std::make_unique<OpenVino>();
}

}  // namespace tritonpm
