#include "streams.h"

namespace tritonpm {

Streams::Streams(const Model& model, std::vector<std::unique_ptr<Instance>> instances,
                 TRITONBACKEND_ModelInstance* triton)
    : model_(model), triton_(triton), instances_(std::move(instances)) {
  try {
    for (const auto& instance : instances_) threads_.emplace_back([this, &instance] { Serve(*instance); });
  } catch (...) {  // no more threads are to be had: those that run must not outlive this
    Close();
    throw;
  }
}

Streams::~Streams() { Close(); }

void Streams::Close() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  given_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Streams::Execute(std::vector<Requests> groups, uint64_t start) {
  std::unique_lock lock(mutex_);
  auto free = [this] { return busy_ < instances_.size(); };
  for (Requests& group : groups) {
    freed_.wait(lock, free);
    busy_++;
    Task& task = tasks_.emplace_back(Task{{}, start});
    task.groups.push_back(std::move(group));
    given_.notify_one();
  }
  freed_.wait(lock, free);
}

void Streams::Serve(Instance& instance) {
  std::unique_lock lock(mutex_);
  while (true) {
    given_.wait(lock, [this] { return closing_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    tritonpm::Execute(model_, instance, triton_, task.groups, task.start);
    lock.lock();
    busy_--;
    freed_.notify_one();
  }
}

}  // namespace tritonpm
