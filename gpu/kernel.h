#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gpu/dtype.h"
#include "gpu/shader_source.h"

namespace glassbox::gpu {

/// A typed scalar a kernel reads by name: float, uint or int.
struct Param {
  std::string name;
  DType type = DType::u32;
};
template <class T>
Param param(std::string name) {
  if constexpr (std::is_same_v<T, float>)
    return {std::move(name), DType::f32};
  else if constexpr (std::is_same_v<T, std::int32_t>)
    return {std::move(name), DType::i32};
  else {
    static_assert(std::is_same_v<T, std::uint32_t>, "params are float, uint32_t or int32_t");
    return {std::move(name), DType::u32};
  }
}

/// Shared memory of a workgroup: per_invocation * LOCAL_SIZE + fixed elements of a GLSL type.
struct SharedArray {
  std::string name;
  std::string type = "float";
  unsigned per_invocation = 0;
  unsigned fixed = 0;
};

/// Compile-time integers of one use of a kernel: `#define NAME value`.
using Constants = std::vector<std::pair<std::string, int>>;

/// A compute kernel is a body. Everything around it is generated: #version, bindings, the parameter block, bounds,
/// dtype unpacking, load path, shared arrays. The body sees
///  - for an input x:  x[i] one element; x_load4(i) elements 4i..4i+3 (those past x_size are unspecified);
///    x_load4(row, i) the same within a row, zero past its end; x_load8(row, i, a, b) eight elements into two vec4;
///    in both, i is of an eight that begins within the row;
///    x_size, x_row (length of the last axis), x_shape[d]; any float dtype reads as float, u32 as uint, i32 as int;
///    x_vec4 names the vector type;
///  - for an output y: y[i] = v (and +=, ...); y_store4(i, v); y_store4(row, i, v) which drops what is past the row's
///    end, with i as in x_load4;
///  - its params and constants by name, its shared arrays;
///  - group_id, local_id, global_id, flat_id and flat_group (indices over a grid folded into two axes), LOCAL_SIZE,
///    group_sum(v) and group_max(v) over the workgroup in a fixed order; group_xor(v, mask), the v of the invocation
///    whose local_id differs by a mask below 8, in workgroups of eights; all invocations of a workgroup must get to
///    each call of these;
///  - float16_t, f16vec2 and unpackFloat2x16 as in NV_gpu_shader5; HALF_FLOATS is 0 where float32 stands in for them.
/// Lines `#include "include/x.glsl"` at its head bring functions, which may read and write the kernel's arrays.
struct Kernel {
  std::string name;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  std::vector<Param> params;
  std::vector<SharedArray> shared;
  std::string body;
};

}  // namespace glassbox::gpu
