#include "model.h"

#include <sys/stat.h>

#include <algorithm>
#include <stdexcept>

namespace tritonpm {
namespace {

constexpr int64_t kDefaultMaxBatchSize = 4;  // Triton's default-max-batch-size
constexpr Type kTypes[] = {
    {"TYPE_BOOL", kBool, 1, 9},    {"TYPE_UINT8", kUint8, 1, 2},   {"TYPE_UINT16", kUint16, 2, 4},
    {"TYPE_UINT32", kUint32, 4, 12}, {"TYPE_UINT64", kUint64, 8, 13}, {"TYPE_INT8", kInt8, 1, 3},
    {"TYPE_INT16", kInt16, 2, 5},  {"TYPE_INT32", kInt32, 4, 6},   {"TYPE_INT64", kInt64, 8, 7},
    {"TYPE_FP16", kFp16, 2, 10},   {"TYPE_FP32", kFp32, 4, 1},     {"TYPE_FP64", kFp64, 8, 11},
    {"TYPE_BF16", kBf16, 2, 16},   {"TYPE_STRING", kBytes, 0, 8},
};

template <class Test>
const Type* Find(Test test) {
  const Type* found = std::find_if(std::begin(kTypes), std::end(kTypes), test);
  return found == std::end(kTypes) ? nullptr : found;
}

bool IsFile(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

bool Exists(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0;
}

Dims Said(const Json& tensor) {
  Dims dims;
  const Json& sizes = tensor.has("reshape") ? tensor["reshape"]["shape"] : tensor["dims"];
  for (const Json& size : sizes.items()) dims.push_back(size.number());
  return dims;
}

std::vector<Configured> Tensors(const Json& entries) {
  std::vector<Configured> tensors;
  for (const Json& entry : entries.items()) {
    tensors.push_back({entry["name"].text(), entry["data_type"].text(), Said(entry), entry["optional"].truth()});
  }
  return tensors;
}

Json Served(TRITONBACKEND_Model* model) {
  TRITONSERVER_Message* message;
  Need(TRITONBACKEND_ModelConfig(model, 1, &message));
  const char* base;
  size_t size;
  TRITONSERVER_Error* error = TRITONSERVER_MessageSerializeToJson(message, &base, &size);
  std::string text = error ? "" : std::string(base, size);
  TRITONSERVER_MessageDelete(message);
  Need(error);
  return Json::Parse(text);
}

bool AnyDimension(int64_t of_file, int64_t configured) {
  return of_file == -1 || configured == -1 || of_file == configured;
}

std::string Names(const std::vector<Described>& tensors) {
  std::string names;
  for (const Described& tensor : tensors) names += (names.empty() ? "" : ", ") + tensor.name;
  return names;
}

const Described* Named(const std::vector<Described>& tensors, const std::string& name) {
  auto found = std::find_if(tensors.begin(), tensors.end(), [&](const auto& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

}  // namespace

std::string OneLine(std::string_view text) {
  std::string line;
  bool blank = false;
  for (char letter : text) {
    if (letter == ' ' || (letter >= '\t' && letter <= '\r')) {
      blank = !line.empty();
    } else {
      if (blank) line += ' ';
      blank = false;
      line += letter;
    }
  }
  return line;
}

std::string Words(const Dims& dims) {
  std::string words;
  for (int64_t size : dims) words += (words.empty() ? "" : ", ") + std::to_string(size);
  return "[" + words + "]";
}

const Type* TypeNamed(std::string_view name) {
  return Find([&](const Type& type) { return type.name == name; });
}

const Type* TypeOfOnnx(int number) {
  return Find([&](const Type& type) { return type.onnx == number; });
}

const Type* TypeOf(TRITONSERVER_DataType triton) {
  return Find([&](const Type& type) { return type.triton == triton; });
}

void Need(TRITONSERVER_Error* error) {
  if (!error) return;
  std::string sentence = TRITONSERVER_ErrorMessage(error);
  TRITONSERVER_ErrorDelete(error);
  throw Refusal(sentence);
}

Model::Model(TRITONBACKEND_Model* model) : config_(Served(model)) {
  int artifacts;
  const char* location;
  uint64_t version;
  Need(TRITONBACKEND_ModelRepository(model, &artifacts, &location));
  Need(TRITONBACKEND_ModelVersion(model, &version));
  folder_ = std::string(location) + "/" + std::to_string(version);
  max_batch_size_ = config_["max_batch_size"].number();
  inputs_ = Tensors(config_["input"]);
  outputs_ = Tensors(config_["output"]);
}

void Model::Refuse(const std::string& sentence) const {
  throw Refusal("model '" + config_["name"].text() + "': " + OneLine(sentence));
}

std::string Model::File(const std::string& otherwise) const {
  const std::string& named = config_["default_model_filename"].text();
  std::string path = folder_ + "/" + (named.empty() ? otherwise : named);
  if (IsFile(path + "/" + otherwise)) return path + "/" + otherwise;  // a folder with the model and its external data
  if (!Exists(path)) {
    Refuse("there is no " + path.substr(path.rfind('/') + 1) + " in its version folder " +
           folder_.substr(folder_.rfind('/') + 1));
  }
  return path;
}

std::string Model::Parameter(std::string_view name) const {
  return config_["parameters"][name]["string_value"].text();
}

int64_t Model::Number(std::string_view name) const {
  std::string text = Parameter(name);
  if (text.empty()) return 0;
  try {
    return std::max(0, std::stoi(text));  // as the native backends read it: spaces before, anything behind
  } catch (const std::logic_error&) {
    Refuse("parameter " + std::string(name) + " is '" + text + "', expected a number from 0");
  }
}

bool Model::Switch(std::string_view name, bool otherwise) const {
  std::string text = Parameter(name), lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  if (lower.empty()) return otherwise;
  if (lower == "1" || lower == "true" || lower == "yes") return true;
  if (lower == "0" || lower == "false" || lower == "no") return false;
  Refuse("parameter " + std::string(name) + " is '" + lower + "', expected 0 or 1");
}

int64_t Model::Instances() const {
  int64_t count = 0;
  for (const Json& group : config_["instance_group"].items()) count += group["count"].number(1);
  return std::max<int64_t>(1, count);
}

std::vector<Control> Model::Controls() const {
  std::vector<Control> controls;
  for (const Json& input : config_["sequence_batching"]["control_input"].items()) {
    for (const Json& control : input["control"].items()) {
      std::string type = control["data_type"].text();
      if (!control["int32_false_true"].items().empty()) type = "TYPE_INT32";
      if (!control["fp32_false_true"].items().empty()) type = "TYPE_FP32";
      if (!control["bool_false_true"].items().empty()) type = "TYPE_BOOL";
      controls.push_back({input["name"].text(), type});
    }
  }
  return controls;
}

void Model::CheckControls(const std::vector<Described>& inputs) const {
  const Dims shape = max_batch_size_ > 0 ? Dims{-1, 1} : Dims{1};
  for (const Control& control : Controls()) {
    const std::string subject = "control input '" + control.name + "'";
    const Described* described = Named(inputs, control.name);
    if (!described) Refuse(subject + " is not in the model file, which has " + Names(inputs));
    if (control.type != described->type->name) {
      Refuse(subject + " is " + described->type->name + " in the model file, " + control.type + " in the config");
    }
    if (*described->dims != shape) {
      Refuse(subject + " has shape " + Words(*described->dims) + " in the model file, " + Words(shape) + " in the config");
    }
  }
}

void Model::Check(const std::vector<Described>& inputs, const std::vector<Described>& outputs,
                  const std::set<std::string>& optional, Agree outputs_agree) {
  for (const char* field : {"batch_input", "batch_output"}) {
    if (!config_[field].items().empty()) Refuse(std::string(field) + " is filled in by the native backends only");
  }
  if (!config_["sequence_batching"]["state"].items().empty()) Refuse("implicit state is kept by the native backends only");
  for (const Json& sample : config_["model_warmup"].items()) {  // it would end some servers
    if (int64_t rows = sample["batch_size"].number(); rows > std::max<int64_t>(1, max_batch_size_)) {
      Refuse("warm-up '" + sample["name"].text() + "' has " + std::to_string(rows) + " rows, more than max_batch_size");
    }
  }
  std::set<std::string> names;
  for (const Configured& tensor : inputs_) {
    if (!names.insert(tensor.name).second) Refuse("an input stands twice in the config");
  }
  std::set<std::string> given = optional;
  for (const Configured& tensor : inputs_) {
    CheckOne("input", tensor, inputs, AnyDimension);
    if (tensor.optional && max_batch_size_ > 0) {
      Refuse("input '" + tensor.name + "' cannot be optional where max_batch_size is not 0");
    }
    if (tensor.optional && !optional.count(tensor.name)) {
      Refuse("input '" + tensor.name + "' is optional in the config, but the model file needs it");
    }
    given.insert(tensor.name);
  }
  for (const Configured& tensor : outputs_) CheckOne("output", tensor, outputs, outputs_agree);
  names.clear();  // one that stands twice is answered once
  auto again = [&names](const Configured& tensor) { return !names.insert(tensor.name).second; };
  outputs_.erase(std::remove_if(outputs_.begin(), outputs_.end(), again), outputs_.end());
  for (const Control& control : Controls()) given.insert(control.name);
  for (const Described& tensor : inputs) {
    if (!given.count(tensor.name)) {
      Refuse("the config leaves out the input '" + tensor.name + "' of the model file");
    }
  }
}

void Model::CheckOne(const char* kind, const Configured& tensor, const std::vector<Described>& known, Agree agree) {
  const std::string subject = std::string(kind) + " '" + tensor.name + "'";
  const Described* described = Named(known, tensor.name);
  if (!described) Refuse(subject + " is not in the model file, which has " + Names(known));
  if (tensor.type != described->type->name) {
    Refuse(subject + " is " + described->type->name + " in the model file, " + tensor.type + " in the config");
  }
  if (!described->dims) return;
  const Dims& dims = *described->dims;
  if (dims.empty() && std::all_of(tensor.dims.begin(), tensor.dims.end(), [](int64_t size) { return size == 1; })) {
    scalars_.insert(tensor.name);
    return;
  }
  if (max_batch_size_ > 0 && (dims.empty() || dims[0] != -1)) {
    Refuse(subject + " has shape " + Words(dims) +
           " in the model file, whose first dimension is not a batch: max_batch_size must be 0");
  }
  Dims full = tensor.dims;
  if (max_batch_size_ > 0) full.insert(full.begin(), -1);
  if (full.size() != dims.size() || !std::equal(dims.begin(), dims.end(), full.begin(), agree)) {
    Refuse(subject + " has shape " + Words(dims) + " in the model file, " + Words(full) + " in the config");
  }
}

void Model::Complete(TRITONBACKEND_Model* model, const std::vector<Described>& inputs,
                     const std::vector<Described>& outputs, bool batches) {
  // An input of one value a row is not batched: Triton's backends end the server where a request then has no row.
  batches = batches && std::all_of(inputs.begin(), inputs.end(), [](const Described& tensor) {
    return !tensor.dims || tensor.dims->size() > 1;
  });
  auto whole = [](const std::vector<Configured>& tensors, const std::vector<Described>& known) {
    return std::any_of(tensors.begin(), tensors.end(), [&](const Configured& tensor) {
      const Described* described = Named(known, tensor.name);
      return described && described->dims && described->dims->size() == tensor.dims.size();
    });
  };
  bool with_batch = whole(inputs_, inputs) || whole(outputs_, outputs);  // the batch axis is among the config's dims
  if (batches && max_batch_size_ == 0 && !with_batch) {
    max_batch_size_ = kDefaultMaxBatchSize;
    config_.Set("max_batch_size", Json::Number(max_batch_size_));
  }
  if (batches && max_batch_size_ > 1 && !config_.has("sequence_batching") && !config_.has("dynamic_batching")) {
    config_.Set("dynamic_batching", Json::Object());
  }
  auto complete = [&](const char* key, const std::vector<Described>& tensors) {
    if (!config_[key].items().empty()) return;
    Json entries = Json::Array();
    for (const Described& tensor : tensors) entries.Add(Entry(tensor));
    config_.Set(key, std::move(entries));
  };
  complete("input", inputs);
  complete("output", outputs);
  std::string text = config_.Write();
  TRITONSERVER_Message* message;
  Need(TRITONSERVER_MessageNewFromSerializedJson(&message, text.data(), text.size()));
  TRITONSERVER_Error* error = TRITONBACKEND_ModelSetConfig(model, 1, message);
  TRITONSERVER_MessageDelete(message);
  Need(error);
}

Json Model::Entry(const Described& tensor) const {
  if (!tensor.dims) {
    Refuse("tensor '" + tensor.name + "' has no rank in the model file; give its dims in config.pbtxt");
  }
  bool batched = max_batch_size_ > 0;
  Json dims = Json::Array(), entry = Json::Object();
  for (size_t at = batched; at < tensor.dims->size(); at++) dims.Add(Json::Number((*tensor.dims)[at]));
  // Triton knows no empty dims; without a batch axis it knows no empty reshape either.
  bool empty = dims.items().empty();
  if (empty) dims.Add(Json::Number(1));
  entry.Set("name", Json::Text(tensor.name));
  entry.Set("data_type", Json::Text(tensor.type->name));
  entry.Set("dims", std::move(dims));
  if (batched && empty) entry.Set("reshape", Json::Object()).Set("shape", Json::Array());
  return entry;
}

}  // namespace tritonpm
