#include "runtime.h"

#include <sched.h>

#include <algorithm>
#include <cstring>

namespace tritonpm {

size_t Elements(const Dims& shape) {
  size_t count = 1;
  for (int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(count, static_cast<size_t>(size), &count)) {
      throw Refusal("shape " + Words(shape) + " is too large");
    }
  }
  return count;
}

std::vector<std::string_view> Texts(const Input& input) {
  const size_t wanted = Elements(input.shape);
  std::string_view rest(input.data, input.size);
  std::vector<std::string_view> texts;
  texts.reserve(std::min(wanted, rest.size() / sizeof(uint32_t)));
  while (texts.size() < wanted) {
    uint32_t length;
    if (rest.size() < sizeof length) break;
    std::memcpy(&length, rest.data(), sizeof length);
    rest.remove_prefix(sizeof length);
    if (rest.size() < length) break;
    texts.push_back(rest.substr(0, length));
    rest.remove_prefix(length);
  }
  if (texts.size() < wanted || !rest.empty()) {
    throw Refusal("input '" + input.name + "' does not hold the " + std::to_string(wanted) + " texts of its shape");
  }
  return texts;
}

int64_t Cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

int64_t Share(const Model& model, int64_t count) { return std::max<int64_t>(1, count / model.Instances()); }

}  // namespace tritonpm
