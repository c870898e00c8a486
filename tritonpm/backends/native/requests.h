// Requests that Triton hands over together: joined into calls of the runtime, and answered; ../joined.py's rules.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "model.h"
#include "runtime.h"

namespace tritonpm {

// One request, from its arrival to its release.
class Request {
 public:
  // Reads the request; what is wrong with it is kept as its error. Never throws.
  Request(TRITONBACKEND_Request* request, const Model& model) noexcept;
  Request(const Request&) = delete;

  bool failed() const { return failed_; }
  const std::vector<Input>& inputs() const { return inputs_; }
  const std::vector<std::string>& wanted() const { return wanted_; }
  int64_t rows() const { return inputs_.empty() || inputs_[0].shape.empty() ? 1 : inputs_[0].shape[0]; }
  // Whether one call of the runtime can take both: the same inputs, alike in all but the first dimension.
  bool Fits(const Request& other) const;

  // Put a part of an output, its rows from `first` to `last`, or all of it, into the answer. Throws Refusal.
  void Answer(const std::string& name, const Output& output, const Dims& shape, size_t first, size_t count);
  void Fail(const std::string& sentence);
  // It is a sample of Triton's: Triton 2.51 ends where one is answered with an error, so that goes to the log instead.
  void WarmsUp() { warms_up_ = true; }
  // Send the answer or the error.
  void Send() noexcept;
  // Tell Triton when it was done, and give the request back.
  void Release(TRITONBACKEND_ModelInstance* instance, uint64_t start, uint64_t run, uint64_t ran, uint64_t end) noexcept;

 private:
  void Read(const Model& model);
  void ReadInput(uint32_t index);

  TRITONBACKEND_Request* request_;
  TRITONBACKEND_Response* response_ = nullptr;
  std::vector<Input> inputs_;
  std::vector<std::string> wanted_;  // outputs, in the order of the config
  std::list<std::vector<char>> copies_;
  std::string error_;
  bool failed_ = false, warms_up_ = false;
};

using Requests = std::vector<std::unique_ptr<Request>>;

uint64_t Now();  // nanoseconds, as Triton counts them
// The requests in groups that one call can take.
std::vector<Requests> Grouped(const Model& model, TRITONBACKEND_Request** requests, uint32_t count);
// Answer all the groups and give their requests back; what Triton counts as one execution, which began at `start`.
void Execute(const Model& model, Instance& instance, TRITONBACKEND_ModelInstance* triton,
             const std::vector<Requests>& groups, uint64_t start) noexcept;

}  // namespace tritonpm
