#pragma once

#include <gmock/gmock.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gpu/custom_kernel.h"
#include "gpu/encoder.h"
#include "gpu/plan.h"
#include "gpu/primitive.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {

/// A kernel given as text with what it is launched on.
struct Launch {
  gpu::Kernel kernel;
  std::vector<gpu::OutputSpec> outputs;
  std::size_t invocations = 1;  ///< flat; a `grid` goes before it
  std::vector<gpu::ParamValue> params = {};
  gpu::DispatchOptions options = {};
  std::optional<gpu::Grid> grid = {};
};

/// The way a person's kernel takes; its grid is the encoder's for that many invocations.
inline std::vector<gpu::Array> launch_all(const Launch& launch, std::vector<gpu::Array> inputs) {
  auto& current = gpu::Device::current();
  const gpu::CommandEncoder encoder(current, current.arena());
  const auto size = launch.options.local_size ? launch.options.local_size : encoder.map_size();
  return gpu::kernel(launch.kernel, std::move(inputs), launch.outputs,
                     {.params = launch.params,
                      .grid = launch.grid.value_or(encoder.flat_invocations(launch.invocations, size)),
                      .options = launch.options});
}
inline gpu::Array launch(const Launch& what, std::vector<gpu::Array> inputs) {
  return launch_all(what, std::move(inputs)).front();
}

/// y[i] = EXPRESSION of x[i], i and the params, one invocation an element; float32 to float32.
inline gpu::Array each(const std::string& expression, const gpu::Array& x, std::vector<gpu::Param> params = {},
                       std::vector<gpu::ParamValue> values = {}) {
  return launch({.kernel = {.name = "each",
                            .inputs = {"x"},
                            .outputs = {"y"},
                            .params = std::move(params),
                            .body = "uint i = flat_id; if (i >= y_size) return; y[i] = " + expression + ";"},
                 .outputs = {{x.shape(), gpu::DType::f32}},
                 .invocations = x.size(),
                 .params = std::move(values)},
                {x});
}

/// y[i] = (a[i] + b[i]) / 2: the same in float32 wherever it is computed.
inline gpu::Array average(const gpu::Array& a, const gpu::Array& b) {
  return launch(
      {.kernel = {.name = "average",
                  .inputs = {"a", "b"},
                  .outputs = {"y"},
                  .body = "if (flat_id * 4u < y_size) y_store4(flat_id, (a_load4(flat_id) + b_load4(flat_id)) * 0.5);"},
       .outputs = {{a.shape(), gpu::DType::f32}},
       .invocations = (a.size() + 3) / 4},
      {a, b});
}

/// 0, 1, 2, ... of the shape.
inline gpu::Array counting(gpu::Shape shape, gpu::DType dtype = gpu::DType::f32) {
  std::vector<double> values(gpu::element_count(shape));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
  return array(std::move(shape), values, dtype);
}

template <class T>
std::vector<T> elements(const gpu::Array& x) {
  const auto bytes = x.bytes();
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

template <class T>
gpu::Array from_elements(gpu::Shape shape, gpu::DType dtype, const std::vector<T>& values,
                         gpu::Arena* arena = nullptr) {
  return gpu::Array::from_bytes(std::move(shape), dtype, std::as_bytes(std::span(values)), arena);
}

/// Runs `body` on a device of its own, on a thread of its own; what it throws is thrown here.
inline void on_own_device(const gpu::Device::Options& options, const std::function<void(gpu::Device&)>& body) {
  std::exception_ptr thrown;
  std::thread([&] {
    try {
      const auto own = gpu::Device::open(options);
      body(*own);
    } catch (...) {
      thrown = std::current_exception();
    }
  }).join();
  if (thrown) std::rethrow_exception(thrown);
}

/// The index of the device under test, for tests that open another one.
inline int device_index() { return device().index(); }

/// An environment variable for the time of a test; null unsets it.
class ScopedEnvironment {
 public:
  ScopedEnvironment(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    set(value);
  }
  ~ScopedEnvironment() { set(before_ ? before_->c_str() : nullptr); }
  ScopedEnvironment(const ScopedEnvironment&) = delete;
  ScopedEnvironment& operator=(const ScopedEnvironment&) = delete;

 private:
  void set(const char* value) const { value ? setenv(name_, value, 1) : unsetenv(name_); }
  const char* name_;
  std::optional<std::string> before_;
};

}  // namespace glassbox::testing
