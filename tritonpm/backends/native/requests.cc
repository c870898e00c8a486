#include "requests.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <limits>

namespace tritonpm {
namespace {

constexpr uintptr_t kAligned = 8;  // of the largest element

void Ignore(TRITONSERVER_Error* error) {  // where nothing could be done about it
  if (error) TRITONSERVER_ErrorDelete(error);
}

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

using Batch = std::vector<Request*>;

// The inputs of all the batch's requests, one after the other.
std::vector<Input> Joined(const Model& model, const Batch& batch, std::list<std::vector<char>>& copies) {
  std::vector<Input> inputs = batch[0]->inputs();
  for (size_t at = 0; at < inputs.size(); at++) {
    Input& input = inputs[at];
    if (batch.size() > 1) {
      std::vector<char>& copy = copies.emplace_back();
      size_t size = 0;
      for (const Request* request : batch) size += request->inputs()[at].size;
      copy.reserve(size + 1);
      input.shape[0] = 0;
      for (const Request* request : batch) {
        const Input& part = request->inputs()[at];
        copy.insert(copy.end(), part.data, part.data + part.size);
        input.shape[0] += part.shape[0];
      }
      input.data = copy.data();
      input.size = size;
    }
    if (model.scalar(input.name)) {
      if (Elements(input.shape) != 1) {
        throw Refusal("input '" + input.name + "' has shape " + Words(input.shape) + ", the model file takes one element");
      }
      input.shape.clear();
    }
  }
  return inputs;
}

// One call for all of the batch; throws Refusal where it fails, with nothing answered.
void Call(const Model& model, Instance& instance, const Batch& batch) {
  std::vector<std::string> names;
  for (const Configured& output : model.outputs()) {
    bool wanted = std::any_of(batch.begin(), batch.end(),
                              [&](const Request* request) { return Contains(request->wanted(), output.name); });
    if (wanted) names.push_back(output.name);
  }
  std::list<std::vector<char>> copies;
  std::vector<Output> outputs = instance.Run(Joined(model, batch, copies), names);
  int64_t rows = 0;
  for (const Request* request : batch) rows += request->rows();
  for (size_t at = 0; at < names.size(); at++) {
    Output& output = outputs[at];
    if (model.scalar(names[at])) {
      // ONNX Runtime tells a scalar and an unknown rank alike.
      if (Elements(output.shape) != 1) {
        throw Refusal("output '" + names[at] + "' has shape " + Words(output.shape) + ", the config takes one element");
      }
      auto said = std::find_if(model.outputs().begin(), model.outputs().end(),
                               [&](const Configured& tensor) { return tensor.name == names[at]; });
      output.shape = said->dims;
    }
    if (batch.size() > 1 && (output.shape.empty() || output.shape[0] != rows)) {
      throw Refusal("output '" + names[at] + "' has shape " + Words(output.shape) + " for a batch of " +
                    std::to_string(rows));
    }
  }
  size_t first = 0;
  for (Request* request : batch) {
    try {
      for (size_t at = 0; at < names.size(); at++) {
        if (!Contains(request->wanted(), names[at])) continue;
        Dims shape = outputs[at].shape;
        size_t elements = Elements(shape), start = 0;
        if (batch.size() > 1) {
          size_t row = elements / static_cast<size_t>(std::max<int64_t>(rows, 1));
          shape[0] = request->rows();
          start = first * row;
          elements = static_cast<size_t>(shape[0]) * row;
        }
        request->Answer(names[at], outputs[at], shape, start, elements);
      }
    } catch (const std::exception& error) {  // its own: where its answer goes has no room, for one
      request->Fail(error.what());
    }
    first += static_cast<size_t>(request->rows());
    request->Send();
  }
}

// If the joined call fails, each request is tried alone, so that a bad one fails alone.
void Answer(const Model& model, Instance& instance, const Batch& batch) {
  try {
    return Call(model, instance, batch);
  } catch (const std::exception& error) {
    if (batch.size() == 1) {
      batch[0]->Fail(error.what());
      return batch[0]->Send();
    }
  }
  for (Request* request : batch) Answer(model, instance, {request});
}

}  // namespace

uint64_t Now() {
  auto since = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

Request::Request(TRITONBACKEND_Request* request, const Model& model) noexcept : request_(request) {
  try {
    Read(model);
  } catch (const std::exception& error) {
    Fail(error.what());
  }
}

void Request::Read(const Model& model) {
  Need(TRITONBACKEND_ResponseNew(&response_, request_));
  uint32_t inputs, outputs;
  Need(TRITONBACKEND_RequestInputCount(request_, &inputs));
  Need(TRITONBACKEND_RequestOutputCount(request_, &outputs));
  for (uint32_t index = 0; index < inputs; index++) ReadInput(index);
  std::sort(inputs_.begin(), inputs_.end(), [](const Input& a, const Input& b) { return a.name < b.name; });
  std::vector<std::string> asked;
  for (uint32_t index = 0; index < outputs; index++) {
    const char* name;
    Need(TRITONBACKEND_RequestOutputName(request_, index, &name));
    asked.push_back(name);
  }
  for (const Configured& output : model.outputs()) {
    if (Contains(asked, output.name)) wanted_.push_back(output.name);
  }
}

void Request::ReadInput(uint32_t index) {
  TRITONBACKEND_Input* input;
  Need(TRITONBACKEND_RequestInputByIndex(request_, index, &input));
  const char* name;
  TRITONSERVER_DataType type;
  const int64_t* shape;
  uint32_t rank, buffers;
  uint64_t size;
  Need(TRITONBACKEND_InputProperties(input, &name, &type, &shape, &rank, &size, &buffers));
  Input read{name, TypeOf(type), Dims(shape, shape + rank), "", 0};
  if (!read.type) throw Refusal("input '" + read.name + "' is of a type that is not known here");
  for (uint32_t at = 0; at < buffers; at++) {
    const void* data;
    uint64_t length;
    TRITONSERVER_MemoryType memory = kMemoryCpu;
    int64_t device = 0;
    Need(TRITONBACKEND_InputBuffer(input, at, &data, &length, &memory, &device));
    if (memory == kMemoryGpu) throw Refusal("input '" + read.name + "' lies in a GPU's memory, which is not read here");
    if (length == 0) continue;
    bool usable = reinterpret_cast<uintptr_t>(data) % kAligned == 0 || read.type->size <= 1;
    if (buffers == 1 && usable) {
      read.data = static_cast<const char*>(data);
    } else {
      if (at == 0 || copies_.empty() || read.size == 0) copies_.emplace_back().reserve(size);
      std::vector<char>& copy = copies_.back();
      copy.insert(copy.end(), static_cast<const char*>(data), static_cast<const char*>(data) + length);
      read.data = copy.data();
    }
    read.size += length;
  }
  size_t whole;
  if (read.type->size &&
      (__builtin_mul_overflow(Elements(read.shape), read.type->size, &whole) || whole != read.size)) {
    throw Refusal("input '" + read.name + "' has " + std::to_string(read.size) + " bytes, which is not what its shape " +
                  Words(read.shape) + " takes");
  }
  inputs_.push_back(std::move(read));
}

bool Request::Fits(const Request& other) const {
  return std::equal(inputs_.begin(), inputs_.end(), other.inputs_.begin(), other.inputs_.end(),
                    [](const Input& one, const Input& another) {
                      return one.name == another.name && one.type == another.type &&
                             one.shape.size() == another.shape.size() && !one.shape.empty() &&
                             std::equal(one.shape.begin() + 1, one.shape.end(), another.shape.begin() + 1);
                    });
}

void Request::Answer(const std::string& name, const Output& output, const Dims& shape, size_t first, size_t count) {
  TRITONBACKEND_Output* made;
  Need(TRITONBACKEND_ResponseOutput(response_, &made, name.c_str(), output.type->triton, shape.data(),
                                    static_cast<uint32_t>(shape.size())));
  const bool text = output.type->triton == kBytes;
  size_t size = count * output.type->size;
  if (text) size = output.offsets[first + count] - output.offsets[first] + count * sizeof(uint32_t);
  void* buffer;
  TRITONSERVER_MemoryType memory = kMemoryCpu;
  int64_t device = 0;
  Need(TRITONBACKEND_OutputBuffer(made, &buffer, size, &memory, &device));
  if (memory == kMemoryGpu) throw Refusal("output '" + name + "' is wanted in a GPU's memory, which is not written here");
  if (!text) {
    if (size) std::memcpy(buffer, output.data + first * output.type->size, size);
    return;
  }
  char* place = static_cast<char*>(buffer);
  for (size_t at = first; at < first + count; at++) {
    size_t length = output.offsets[at + 1] - output.offsets[at];
    if (length > std::numeric_limits<uint32_t>::max()) throw Refusal("output '" + name + "' has a text of over 4 GiB");
    const uint32_t prefix = static_cast<uint32_t>(length);
    std::memcpy(place, &prefix, sizeof prefix);
    std::memcpy(place + sizeof prefix, output.data + output.offsets[at], length);
    place += sizeof prefix + length;
  }
}

void Request::Fail(const std::string& sentence) {
  failed_ = true;
  error_ = OneLine(sentence);
}

void Request::Send() noexcept {
  TRITONBACKEND_Response* response = std::exchange(response_, nullptr);
  if (!response) return;
  if (failed_ && warms_up_) std::fprintf(stderr, "A warm-up failed: %s\n", error_.c_str());
  TRITONSERVER_Error* error = failed_ && !warms_up_ ? TRITONSERVER_ErrorNew(kInternal, error_.c_str()) : nullptr;
  Ignore(TRITONBACKEND_ResponseSend(response, kCompleteFinal, error));
  Ignore(error);
}

void Request::Release(TRITONBACKEND_ModelInstance* instance, uint64_t start, uint64_t run, uint64_t ran,
                      uint64_t end) noexcept {
  Send();
  Ignore(TRITONBACKEND_ModelInstanceReportStatistics(instance, request_, !failed_, start, run, ran, end));
  Ignore(TRITONBACKEND_RequestRelease(request_, kReleaseAll));
}

std::vector<Requests> Grouped(const Model& model, TRITONBACKEND_Request** requests, uint32_t count) {
  std::vector<Requests> groups;
  for (uint32_t at = 0; at < count; at++) {
    auto request = std::make_unique<Request>(requests[at], model);
    auto fitting = std::find_if(groups.begin(), groups.end(), [&](const Requests& group) {
      bool whole = !group[0]->failed() && !request->failed();
      return whole && model.max_batch_size() > 0 && group[0]->Fits(*request);
    });
    if (fitting == groups.end()) fitting = groups.emplace(groups.end());
    fitting->push_back(std::move(request));
  }
  return groups;
}

void Execute(const Model& model, Instance& instance, TRITONBACKEND_ModelInstance* triton,
             const std::vector<Requests>& groups, uint64_t start) noexcept {
  uint64_t rows = 0;
  const uint64_t run = Now();
  for (const Requests& group : groups) {
    Batch batch;
    for (const auto& request : group) {
      batch.push_back(request.get());
      rows += model.max_batch_size() > 0 ? static_cast<uint64_t>(request->rows()) : 1;
    }
    if (!batch[0]->failed()) Answer(model, instance, batch);
  }
  const uint64_t ran = Now();
  Ignore(TRITONBACKEND_ModelInstanceReportBatchStatistics(triton, std::max<uint64_t>(rows, 1), start, run, ran, ran));
  for (const Requests& group : groups) {
    for (const auto& request : group) request->Release(triton, start, run, ran, ran);
  }
}

}  // namespace tritonpm
