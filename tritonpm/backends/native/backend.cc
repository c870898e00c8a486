// What Triton calls: one backend for one runtime.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>

#include "model.h"
#include "requests.h"
#include "runtime.h"
#include "streams.h"
#include "triton.h"

namespace tritonpm {
namespace {

constexpr uint32_t kMajor = 1, kMinor = 10;  // of the interface, the first with all that is used here

std::unique_ptr<Runtime>& TheRuntime() {
  static std::unique_ptr<Runtime> runtime;
  return runtime;
}

// What one of Triton's instances serves with.
struct Serving {
  Model model;
  std::unique_ptr<Instance> alone;   // where it runs one call at a time
  std::unique_ptr<Streams> streams;  // where it runs several

  int64_t warm_ups = 0;              // of Triton's, that are still to come: the first that an instance executes

  explicit Serving(TRITONBACKEND_Model* triton) : model(triton) {
    for (const Json& sample : model.config()["model_warmup"].items()) {
      if (sample["batch_size"].number() > 0) warm_ups += std::max<int64_t>(1, sample["count"].number());
    }
  }
};

// What goes wrong in `action`, as Triton wants it.
template <class Action>
TRITONSERVER_Error* Reported(Action action) noexcept {
  try {
    action();
    return nullptr;
  } catch (const std::exception& error) {
    return TRITONSERVER_ErrorNew(kInternal, error.what());
  } catch (...) {
    return TRITONSERVER_ErrorNew(kInternal, "the runtime failed and did not say why");
  }
}

// The runtime's library: a link in the backend's own folder, beside this library.
std::string Library(TRITONBACKEND_Backend* backend) {
  int artifacts;
  const char* folder;
  Need(TRITONBACKEND_BackendArtifacts(backend, &artifacts, &folder));
  std::string link = std::string(folder) + "/runtime.so";
  // The way to its real place, since it looks for libraries beside itself.
  std::unique_ptr<char, decltype(&std::free)> real(realpath(link.c_str(), nullptr), std::free);
  if (!real) throw Refusal("there is no " + link);
  return real.get();
}

}  // namespace
}  // namespace tritonpm

using namespace tritonpm;

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT TRITONSERVER_Error* TRITONBACKEND_Initialize(TRITONBACKEND_Backend* backend) {
  return Reported([&] {
    uint32_t major, minor;
    Need(TRITONBACKEND_ApiVersion(&major, &minor));
    if (major != kMajor || minor < kMinor) throw Refusal("this tritonserver's interface for backends is another one");
    TheRuntime() = Open(Library(backend));
  });
}

EXPORT TRITONSERVER_Error* TRITONBACKEND_Finalize(TRITONBACKEND_Backend*) {
  return Reported([] { TheRuntime().reset(); });
}

EXPORT TRITONSERVER_Error* TRITONBACKEND_GetBackendAttribute(
    TRITONBACKEND_Backend*, TRITONBACKEND_BackendAttribute* attributes) {
  return Reported([&] {
    Need(TRITONBACKEND_BackendAttributeAddPreferredInstanceGroup(attributes, kKindCpu, 0, nullptr, 0));
    Need(TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(attributes, true));
  });
}

EXPORT TRITONSERVER_Error* TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model* triton) {
  return Reported([&] {
    bool complete;
    Need(TRITONBACKEND_ModelAutoCompleteConfig(triton, &complete));
    if (!complete) return;
    Model model(triton);
    TheRuntime()->Complete(model, triton);
  });
}

EXPORT TRITONSERVER_Error* TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance* triton) {
  return Reported([&] {
    TRITONBACKEND_Model* model;
    TRITONSERVER_InstanceGroupKind kind;
    Need(TRITONBACKEND_ModelInstanceModel(triton, &model));
    Need(TRITONBACKEND_ModelInstanceKind(triton, &kind));
    auto serving = std::make_unique<Serving>(model);
    auto instances = TheRuntime()->Load(serving->model, kind);
    if (instances.size() == 1) {
      serving->alone = std::move(instances[0]);
    } else {
      serving->streams = std::make_unique<Streams>(serving->model, std::move(instances), triton);
    }
    Need(TRITONBACKEND_ModelInstanceSetState(triton, serving.get()));
    serving.release();
  });
}

EXPORT TRITONSERVER_Error* TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance* triton) {
  return Reported([&] {
    void* state;
    Need(TRITONBACKEND_ModelInstanceState(triton, &state));
    delete static_cast<Serving*>(state);
  });
}

EXPORT TRITONSERVER_Error* TRITONBACKEND_ModelInstanceExecute(
    TRITONBACKEND_ModelInstance* triton, TRITONBACKEND_Request** requests, uint32_t count) {
  void* state;
  if (TRITONSERVER_Error* error = TRITONBACKEND_ModelInstanceState(triton, &state)) return error;
  auto* serving = static_cast<Serving*>(state);
  const uint64_t start = Now();
  auto groups = Grouped(serving->model, requests, count);
  if (serving->warm_ups > 0) {
    serving->warm_ups--;
    for (auto& group : groups) {
      for (auto& request : group) request->WarmsUp();
    }
  }
  if (serving->streams) {
    serving->streams->Execute(std::move(groups), start);
  } else {
    Execute(serving->model, *serving->alone, triton, groups, start);
  }
  return nullptr;
}
