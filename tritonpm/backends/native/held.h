// Holds what one function of a C interface makes and another releases.
#pragma once

#include <utility>

namespace tritonpm {

template <class Thing>
class Held {
 public:
  using Release = void (*)(Thing*);
  explicit Held(Release release) : release_(release) {}
  Held(Held&& other) noexcept : thing_(std::exchange(other.thing_, nullptr)), release_(other.release_) {}
  Held(const Held&) = delete;
  ~Held() { Reset(); }
  Thing* get() const { return thing_; }
  // Where the making function puts it.
  Thing** fill() {
    Reset();
    return &thing_;
  }
  void Swap(Held& other) { std::swap(thing_, other.thing_); }

 private:
  void Reset() {
    if (thing_) release_(std::exchange(thing_, nullptr));
  }
  Thing* thing_ = nullptr;
  Release release_;
};

}  // namespace tritonpm
