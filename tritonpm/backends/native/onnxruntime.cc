// ../onnxruntime/model.py in C++: the same options, checks and sentences.
#include "onnxruntime.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>

#include "held.h"
#include "runtime.h"

namespace tritonpm {
namespace {

constexpr char kDefaultFile[] = "model.onnx";
constexpr char kShrinkage[] = "memory.enable_memory_arena_shrinkage";

const ort::Api* api;  // set once, before anything else here is called

// Throws Refusal where ONNX Runtime says an error.
void Need(ort::Status* status) {
  if (!status) return;
  std::string sentence = OneLine(api->GetErrorMessage(status));
  api->ReleaseStatus(status);
  throw Refusal(sentence);
}

using Session = Held<ort::Session>;
using Value = Held<ort::Value>;

Dims Shape(const ort::TensorInfo* info) {
  size_t rank;
  Need(api->GetDimensionsCount(info, &rank));
  Dims dims(rank);
  Need(api->GetDimensions(info, dims.data(), rank));
  for (int64_t& size : dims) size = std::max<int64_t>(size, -1);
  return dims;
}

using Count = decltype(ort::Api::SessionGetInputCount);
using TypeInfo = decltype(ort::Api::SessionGetInputTypeInfo);
using Name = decltype(ort::Api::SessionGetInputName);

// The tensors of one kind. ONNX Runtime tells a scalar and an unknown rank alike, and so does the native backend.
std::vector<Described> Tensors(const Model& model, const Session& session, Count count, TypeInfo type_of, Name name_of) {
  ort::Allocator* allocator;
  Need(api->GetAllocatorWithDefaultOptions(&allocator));
  std::vector<Described> tensors;
  size_t known;
  Need(count(session.get(), &known));
  for (size_t at = 0; at < known; at++) {
    char* name;
    Need(name_of(session.get(), at, allocator, &name));
    std::string kept = name;
    Need(api->AllocatorFree(allocator, name));
    Held<ort::TypeInfo> info(api->ReleaseTypeInfo);
    Need(type_of(session.get(), at, info.fill()));
    const ort::TensorInfo* tensor;
    Need(api->CastTypeInfoToTensorInfo(info.get(), &tensor));
    int element = 0;
    if (tensor) Need(api->GetTensorElementType(tensor, &element));
    const Type* type = TypeOfOnnx(element);
    if (!type) model.Refuse("tensor '" + kept + "' is of a type that Triton does not have");
    tensors.push_back({kept, type, Shape(tensor)});
  }
  return tensors;
}

struct File {
  std::vector<Described> inputs, overridable, outputs;

  File(const Model& model, const Session& session)
      : inputs(Tensors(model, session, api->SessionGetInputCount, api->SessionGetInputTypeInfo,
                       api->SessionGetInputName)),
        overridable(Tensors(model, session, api->SessionGetOverridableInitializerCount,
                            api->SessionGetOverridableInitializerTypeInfo, api->SessionGetOverridableInitializerName)),
        outputs(Tensors(model, session, api->SessionGetOutputCount, api->SessionGetOutputTypeInfo,
                        api->SessionGetOutputName)) {}
};

// What the config says of the session: `parameters` and `optimization { graph { level } }`.
void Configure(const Model& model, ort::SessionOptions* options) {
  int64_t mode = model.Number("execution_mode");
  if (mode > 1) {
    model.Refuse("parameter execution_mode is '" + std::to_string(mode) + "', expected 0 (sequential) or 1 (parallel)");
  }
  Need(api->SetSessionExecutionMode(options, static_cast<int>(mode)));
  int64_t threads = model.Number("intra_op_thread_count"), share = Share(model, Cores());
  if (threads == 0) threads = share == Cores() ? 0 : share;  // 0 leaves it to ONNX Runtime: every core
  Need(api->SetIntraOpNumThreads(options, static_cast<int>(threads)));
  Need(api->SetInterOpNumThreads(options, static_cast<int>(model.Number("inter_op_thread_count"))));
  Need((model.Switch("enable_mem_arena", true) ? api->EnableCpuMemArena : api->DisableCpuMemArena)(options));
  Need((model.Switch("enable_mem_pattern", true) ? api->EnableMemPattern : api->DisableMemPattern)(options));
  const Json& optimization = model.config()["optimization"];
  int64_t level = optimization["graph"]["level"].number();
  Need(api->SetSessionGraphOptimizationLevel(options, level == -1 ? 1 : level == 1 ? 2 : level == 2 ? 0 : 99));
  for (const auto& [name, value] : model.config()["parameters"].members()) {
    if (name.rfind("session.", 0) == 0) {
      Need(api->AddSessionConfigEntry(options, name.c_str(), value["string_value"].text().c_str()));
    }
  }
  if (!model.config()["model_operations"]["op_library_filename"].items().empty()) {
    model.Refuse("op_library_filename would run a library's code, which is not done here");
  }
  for (const auto& [kind, accelerators] : optimization["execution_accelerators"].members()) {
    for (const Json& accelerator : accelerators.items()) {
      const std::string& name = accelerator["name"].text();  // the native backend's: faster ways to the same answer
      if (kind == "cpu_execution_accelerator" && name != "openvino") {  // it does not look at those of GPUs on the CPU
        model.Refuse("there is no execution accelerator '" + name + "'");
      }
    }
  }
}

class OnnxInstance : public Instance {
 public:
  OnnxInstance(Session session, const Model& model) : session_(std::move(session)) {
    Need(api->CreateCpuMemoryInfo(ort::kArenaAllocator, ort::kDefaultMemory, memory_.fill()));
    Need(api->GetAllocatorWithDefaultOptions(&allocator_));
    Need(api->CreateRunOptions(options_.fill()));
    if (std::string shrinkage = model.Parameter(kShrinkage); !shrinkage.empty()) {
      Need(api->AddRunConfigEntry(options_.get(), kShrinkage, shrinkage.c_str()));
    }
  }

  std::vector<Output> Run(const std::vector<Input>& inputs, const std::vector<std::string>& names) override {
    values_.clear();
    texts_.clear();
    std::vector<Value> given;
    std::vector<const char*> input_names, output_names;
    std::vector<const ort::Value*> input_values;
    for (const Input& input : inputs) {
      given.push_back(Given(input));
      input_names.push_back(input.name.c_str());
      input_values.push_back(given.back().get());
    }
    for (const std::string& name : names) output_names.push_back(name.c_str());
    std::vector<ort::Value*> made(names.size());
    ort::Status* status = api->Run(session_.get(), options_.get(), input_names.data(), input_values.data(),
                                   inputs.size(), output_names.data(), names.size(), made.data());
    for (ort::Value* value : made) *values_.emplace_back(api->ReleaseValue).fill() = value;
    Need(status);
    std::vector<Output> outputs;
    for (size_t at = 0; at < names.size(); at++) outputs.push_back(Taken(names[at], values_[at].get()));
    return outputs;
  }

 private:
  Value Given(const Input& input) {
    Value value(api->ReleaseValue);
    if (input.type->triton != kBytes) {
      Need(api->CreateTensorWithDataAsOrtValue(memory_.get(), const_cast<char*>(input.data), input.size,
                                               input.shape.data(), input.shape.size(), input.type->onnx, value.fill()));
      return value;
    }
    std::vector<std::string_view> texts = Texts(input);
    Need(api->CreateTensorAsOrtValue(allocator_, input.shape.data(), input.shape.size(), ort::kText, value.fill()));
    for (size_t at = 0; at < texts.size(); at++) {
      char* place;
      Need(api->GetResizedStringTensorElementBuffer(value.get(), at, texts[at].size(), &place));
      std::memcpy(place, texts[at].data(), texts[at].size());
    }
    return value;
  }

  Output Taken(const std::string& name, ort::Value* value) {
    int tensor = 0;
    if (value) Need(api->IsTensor(value, &tensor));
    if (!tensor) throw Refusal("output '" + name + "' is no tensor");
    Held<ort::TensorInfo> info(api->ReleaseTensorInfo);
    Need(api->GetTensorTypeAndShape(value, info.fill()));
    int element;
    Need(api->GetTensorElementType(info.get(), &element));
    Output output{Shape(info.get()), TypeOfOnnx(element), nullptr, {}};
    if (!output.type) throw Refusal("output '" + name + "' is of a type that Triton does not have");
    if (output.type->triton != kBytes) {
      void* data;
      Need(api->GetTensorMutableData(value, &data));
      output.data = static_cast<const char*>(data);
      return output;
    }
    size_t count = Elements(output.shape), size;
    Need(api->GetStringTensorDataLength(value, &size));
    std::vector<char>& text = texts_.emplace_back(size + 1);  // never empty, so that it has an address
    output.offsets.resize(count + 1);
    if (count) Need(api->GetStringTensorContent(value, text.data(), size, output.offsets.data(), count));
    output.offsets[count] = size;
    output.data = text.data();
    return output;
  }

  Session session_;
  Held<ort::MemoryInfo> memory_{api->ReleaseMemoryInfo};
  Held<ort::RunOptions> options_{api->ReleaseRunOptions};
  ort::Allocator* allocator_;
  std::vector<Value> values_;             // of the last call
  std::vector<std::vector<char>> texts_;  // of the last call
};

class OnnxRuntime : public Runtime {
 public:
  OnnxRuntime() { Need(api->CreateEnv(ort::kLogErrors, "onnxruntime", env_.fill())); }

  void Complete(Model& model, TRITONBACKEND_Model* triton) override {
    if (!model.inputs().empty() && !model.outputs().empty()) return;
    Held<ort::SessionOptions> options(api->ReleaseSessionOptions);
    Need(api->CreateSessionOptions(options.fill()));
    Need(api->SetSessionGraphOptimizationLevel(options.get(), ort::kNoOptimization));
    File file(model, Read(model, options.get()));
    auto batched = [](const std::vector<Described>& tensors) {
      return std::all_of(tensors.begin(), tensors.end(),
                         [](const Described& tensor) { return !tensor.dims->empty() && tensor.dims->front() == -1; });
    };
    bool batches = batched(file.inputs) && batched(file.outputs);
    if (!batches && model.max_batch_size()) {
      model.Refuse("the model file takes no batches, so max_batch_size must be 0");
    }
    model.Complete(triton, file.inputs, file.outputs, batches);
  }

  std::vector<std::unique_ptr<Instance>> Load(Model& model, TRITONSERVER_InstanceGroupKind kind) override {
    Held<ort::SessionOptions> options(api->ReleaseSessionOptions);
    Need(api->CreateSessionOptions(options.fill()));
    Configure(model, options.get());
    if (kind == kKindGpu) {
      model.Refuse("this Python's onnxruntime has no GPU support; use KIND_CPU, or install onnxruntime-gpu");
    }
    Session session = Read(model, options.get());
    File file(model, session);
    std::set<std::string> optional;
    for (const Described& tensor : file.overridable) optional.insert(tensor.name);
    std::vector<Described> inputs = file.inputs;
    inputs.insert(inputs.end(), file.overridable.begin(), file.overridable.end());
    model.CheckControls(file.inputs);
    model.Check(inputs, file.outputs, optional, [](int64_t of_file, int64_t said) { return of_file == said; });
    std::vector<std::unique_ptr<Instance>> one;
    one.push_back(std::make_unique<OnnxInstance>(std::move(session), model));
    return one;
  }

 private:
  Session Read(const Model& model, ort::SessionOptions* options) {
    std::string path = model.File(kDefaultFile);
    Need(api->SetSessionLogSeverityLevel(options, ort::kLogErrors));
    Session session(api->ReleaseSession);
    try {
      Need(api->CreateSession(env_.get(), path.c_str(), options, session.fill()));
    } catch (const Refusal& refusal) {
      model.Refuse("ONNX Runtime cannot load " + path.substr(path.rfind('/') + 1) + ": " + refusal.what());
    }
    return session;
  }

  Held<ort::Env> env_{api->ReleaseEnv};
};

}  // namespace

std::unique_ptr<Runtime> Open(const std::string& library) {
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays open: its threads may outlive the backend
  if (!handle) throw Refusal(std::string("ONNX Runtime cannot be loaded: ") + dlerror());
  auto base = reinterpret_cast<const ort::ApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
  const void* const* table = base ? base()->GetApi(ort::kVersion) : nullptr;
  if (!table) throw Refusal(library + " is no ONNX Runtime of 1.15 or later");
  static const ort::Api known(table);
  api = &known;
  return std::make_unique<OnnxRuntime>();
}

}  // namespace tritonpm
