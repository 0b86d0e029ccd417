#include "gpu/error.h"
#include "gpu/ops/half_projection.h"
#include "gpu/registry.h"

namespace glassbox::gpu {
namespace {

const Registration half_row_registered{
    "half_row", "x norm as float16, and sums of x^2", [](Random& random, SampleSize size) {
      std::vector<Sample> samples;
      for (const std::size_t columns :
           size == SampleSize::bench ? std::vector<std::size_t>{4096} : std::vector<std::size_t>{8, 136})
        samples.push_back({fmt::format("[1, {}]", columns),
                           [=, x = random.normal({1, columns}), norm = random.normal({columns})](Fusion) {
                             return half_row(x, norm).x;
                           }});
      return samples;
    }};

const Registration half_projection_registered{
    "half_projection", "x w^T in half precision, with what is around it", [](Random& random, SampleSize size) {
      std::vector<Sample> samples;
      struct Case {
        std::size_t rows, columns;
      };
      for (const auto& c :
           size == SampleSize::bench ? std::vector<Case>{{2048, 2048}, {11264, 2048}} : std::vector<Case>{{48, 288}})
        for (const auto format : {PackedFormat::q8_0, PackedFormat::q4_0}) {
          const auto w = packed_from_bytes(format, c.rows, c.columns, random_blocks(random, format, c.rows, c.columns));
          const auto row = half_row(random.normal({1, c.columns}), random.normal({c.columns}));
          eval({row.x, row.squares});
          const auto label = fmt::format("{} [{}, {}]", name_of(format), c.rows, c.columns);
          samples.push_back({label + ", norm", [=](Fusion) { return half_projection(row, w, {.eps = 1e-5f}).y; }});
          samples.push_back({label + ", residual and the next norm",
                             [=, residual = random.normal({1, c.rows}), norm = random.normal({c.rows})](Fusion) {
                               return half_projection({row.x, {}}, w, {.residual = residual, .next_norm = norm}).y;
                             }});
          samples.push_back({label + ", norm and gate", [=](Fusion) {
                               return half_projection(row, w,
                                                      {.eps = 1e-5f, .gated = c.rows / 2, .keep = false, .next = true})
                                   .next.x;
                             }});
        }
      return samples;
    }};

}  // namespace
}  // namespace glassbox::gpu
