#pragma once

#include <optional>

#include "gpu/packed.h"
#include "gpu/primitive.h"

namespace glassbox::gpu {

class Device;

/// What a projection makes of its x. int8 rounds it in blocks of 32 to 127ths of their largest magnitude, as Q8_0 does,
/// where a kernel has use for it (q4_0 on software renderers, 1.5 to 2 times as fast there). half: float16, one
/// token's in half_projection, which q4_0 and q8_0 have, and those of prompts in the tile kernel: for GPUs with
/// half-floats.
enum class Activations : std::uint8_t { f32, int8, half };
constexpr Activations all_activations[] = {Activations::f32, Activations::int8, Activations::half};
std::string_view name_of(Activations activations);  ///< "float", "int8" or "half"
/// The one of that name; throws Error, naming the flag, for anything else.
Activations parse_activations(std::string_view text, std::string_view flag);

/// How a packed matmul runs: what an autotuner picks.
struct PackedVariant {
  enum class Kernel {
    group,   ///< a workgroup shares the columns of its tiles of rows: for GPUs, one token and a few
    lanes,   ///< an invocation walks over tiles with a chunk of x in registers: for vector units; leaves partial sums
    tokens,  ///< an invocation has vectors of tokens and a few rows: for vector units, many tokens
    tile     ///< a workgroup multiplies a square tile through shared memory: for GPUs, many tokens
  };
  Kernel kernel = Kernel::group;
  unsigned local_size = 64;
  unsigned tokens = 1;   ///< group: an invocation's
  unsigned tiles = 1;    ///< group: a workgroup's tiles of 8 rows; tile: its 64s of rows
  unsigned rows = 8;     ///< tokens: an invocation's
  unsigned vectors = 4;  ///< tokens: an invocation's, of eight tokens; tile: a workgroup's 64s of tokens
  unsigned chunks = 1;   ///< lanes: an invocation's 256s of columns
  /// lanes, tokens: f32 or int8 (q4_0 alone); group: f32, or half, which is half_projection's (one token); tile: f32,
  /// or half, where weights and activations are float16 and sums of 64 products are.
  Activations activations = Activations::f32;
  bool operator==(const PackedVariant&) const = default;
};
/// The choice for `tokens` rows of x by what such devices usually like.
PackedVariant packed_rule(const Device& device, const PackedLayout& layout, std::size_t tokens,
                          Activations activations = Activations::f32);
/// The choice for `tokens` rows of x: the one in the device's PackedTable, else packed_rule's.
PackedVariant packed_variant(const Device& device, const PackedLayout& layout, std::size_t tokens,
                             Activations activations = Activations::f32);

/// x w^T as sums over parts of the columns, which whoever reads them adds up: x [.., T, K] float, w [N, K] packed;
/// [P, T, N] float32, P as the device's kernel leaves it (1 on GPUs). Throws Error where shapes do not fit.
Array packed_matmul_parts(const Array& x, const PackedMatrix& w,
                          const std::optional<PackedVariant>& variant = std::nullopt);
/// The same, summed: [T, N].
Array packed_matmul(const Array& x, const PackedMatrix& w, const std::optional<PackedVariant>& variant = std::nullopt);

/// Sums over the first axis, [P, ..] -> [..] float32, and `residual` [..] where one is given.
Array sum_parts(const Array& parts, const Array& residual = {});
/// silu(gate) * up of [P, .., 16 ceil(width / 8)], where eights of gates stand before the eights of their partners:
/// [.., width]. SwiGLU's middle (Shazeer 2020).
Array gated_silu(const Array& parts, std::size_t width);

/// What stands before and after a projection.
struct Around {
  Array norm;             ///< [K]: x is first divided by its root mean square and multiplied by this; or empty
  float eps = 0;          ///< of that norm
  Array residual;         ///< [T, N]: added to the result; or empty
  std::size_t gated = 0;  ///< not 0: w has eights of gate rows and of their partners, and the result is gated_silu's
  Fusion fusion = Fusion::on;
  Activations activations = Activations::f32;
  std::optional<PackedVariant> variant = std::nullopt;  ///< instead of packed_variant()
};
/// x w^T with what is around it, in one kernel where the device has one that pays. [P, T, N] partial sums; P = 1 where
/// something follows the product. Throws Error as packed_matmul does.
Array packed_projection(const Array& x, const PackedMatrix& w, const Around& around);

/// Rows `ids` of a packed matrix: u32 [T], [N, K] -> float32 [T, K], exactly.
Array packed_embedding(const Array& ids, const PackedMatrix& table);

}  // namespace glassbox::gpu
