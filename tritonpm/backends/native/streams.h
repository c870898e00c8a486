// Calls side by side in one of Triton's instances: Triton gets it back while one of its streams is free.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "requests.h"

namespace tritonpm {

class Streams {
 public:
  // The model has to outlive it.
  Streams(const Model& model, std::vector<std::unique_ptr<Instance>> instances, TRITONBACKEND_ModelInstance* triton);
  // Waits for what is under way.
  ~Streams();

  // Hand the groups to streams that are free, and return once another is.
  void Execute(std::vector<Requests> groups, uint64_t start);

 private:
  struct Task {
    std::vector<Requests> groups;
    uint64_t start;
  };
  void Serve(Instance& instance);
  void Close();

  const Model& model_;
  TRITONBACKEND_ModelInstance* triton_;
  std::vector<std::unique_ptr<Instance>> instances_;
  std::mutex mutex_;
  std::condition_variable given_, freed_;
  std::deque<Task> tasks_;
  size_t busy_ = 0;  // streams that run or have a task waiting for them
  bool closing_ = false;
  std::vector<std::thread> threads_;  // last, so that all else is there when they start
};

}  // namespace tritonpm
