#pragma once

#include <cstdint>
#include <memory>

namespace glassbox::gpu {

/// A uint that a recorded plan reads anew at every run, such as the position in the context. Copies share the value.
class Dynamic {
 public:
  explicit Dynamic(std::uint32_t value = 0) : value_(std::make_shared<std::uint32_t>(value)) {}
  std::uint32_t value() const { return *value_; }
  void set(std::uint32_t value) const { *value_ = value; }

 private:
  std::shared_ptr<std::uint32_t> value_;
};

}  // namespace glassbox::gpu
