#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "gpu/array.h"
#include "gpu/dynamic.h"
#include "gpu/reference.h"

namespace glassbox::gpu {

class CommandEncoder;

using Inputs = std::span<const Array>;
using Outputs = std::span<const Array>;

/// What an operation must do at least: bytes read and written once, and floating-point operations. The roofline's
/// terms.
struct Cost {
  double bytes = 0;
  double flops = 0;
};

/// Error that the number formats justify, against eval_cpu on the same inputs: NMSE = sum (a-b)^2 / sum b^2, and
/// largest absolute error. Infinity: not bounded.
struct Tolerance {
  double nmse = 1e-12;
  double max_abs = 1e300;
};

/// NMSE justified by storing an output: float32 is `f32`, 16-bit floats are rounded once more.
double storage_nmse(DType output, double f32 = 1e-12);

/// One operation on arrays. Stateless but for its attributes: one object may stand in many graphs.
class Primitive {
 public:
  virtual ~Primitive() = default;
  virtual std::string_view name() const = 0;

  /// Encodes the dispatches that compute `out`. Inputs are contiguous unless accepts_strided().
  virtual void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const = 0;
  /// The same in float64: the oracle that tests and `glassbox diff` hold the GPU against.
  virtual void eval_cpu(Reference in, ReferenceOut out) const = 0;
  virtual Cost cost(Inputs in,
                    Outputs out) const;  ///< by default every input and output once, one flop an output element
  virtual Tolerance tolerance(Inputs in, Outputs out) const;  ///< by default storage_nmse of the outputs

  virtual bool accepts_strided() const { return false; }
  /// The input whose elements output i replaces in place, if any.
  virtual std::optional<std::size_t> in_place(std::size_t /*output*/) const { return std::nullopt; }
};

/// Whether free functions with a fused and a composed form build the one or the other (`--fusion on|off`).
enum class Fusion : bool { off, on };

}  // namespace glassbox::gpu
