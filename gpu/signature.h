#pragma once

#include <string>
#include <vector>

#include "gpu/device.h"
#include "gpu/kernel_body.h"

namespace glassbox::gpu {

/// How one array reaches one variant of a kernel.
struct Argument {
  DType dtype = DType::f32;
  LoadPath door = LoadPath::ssbo;
  unsigned slot = 0;       ///< binding of the storage block, or image or texture unit; arrays of one buffer share it
  unsigned row_level = 8;  ///< 8 or 4: the last axis is a multiple of it; 0: rows start anywhere
};

/// A kernel with everything that changes its text: the key of the program cache.
struct Variant {
  std::vector<Argument> arguments;  ///< inputs, then outputs
  std::vector<bool> wide_slots;     ///< by storage binding: declared as uvec4 (else uint)
  unsigned local_size = 32;
  Constants constants;
};

/// A member of the generated parameter block, in order; each is 4 bytes (std140 packs scalars).
struct Field {
  enum class Kind { offset /* of the array, in uvec4 */, size, row, shape, param } kind;
  std::size_t index = 0;  ///< of the array or the param
  unsigned axis = 0;
};
std::vector<Field> parameter_fields(const Kernel& kernel, const KernelBody& body);

/// The whole GLSL text. Throws Error where shared memory, the workgroup or an access does not fit the device or dtype.
std::string generate_glsl(const Device& device, const Kernel& kernel, const KernelBody& body, const Variant& variant);

}  // namespace glassbox::gpu
