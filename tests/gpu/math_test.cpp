// The functions of shaders/include against float64, over dense sweeps and at the edges.
#include <cmath>
#include <numbers>

#include "gpu/encoder.h"
#include "gpu/primitive.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::CommandEncoder;
using gpu::DType;
using gpu::Inputs;
using gpu::Kernel;
using gpu::Outputs;

/// A kernel of the text given, four elements an invocation; its oracle is the test's business.
struct Elements final : gpu::Primitive {
  explicit Elements(Kernel body) : kernel(std::move(body)) {}
  Kernel kernel;

  std::string_view name() const override { return kernel.name; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const auto size = encoder.map_size();
    encoder.dispatch(kernel, {in[0]}, {out[0]}, {}, encoder.flat_invocations((in[0].size() + 3) / 4, size),
                     {.local_size = size});
  }
  void eval_cpu(gpu::Reference, gpu::ReferenceOut) const override {}
};

Array run_elements(std::string include, std::string body, const Array& x, gpu::Shape shape) {
  Kernel kernel{.name = include,
                .inputs = {"x"},
                .outputs = {"y"},
                .body = "#include \"include/" + include + ".glsl\"\nif (flat_id * 4u >= x_size) return;\n" + body};
  return Array::make(std::move(shape), DType::f32, std::make_shared<Elements>(std::move(kernel)), {x});
}

Array exp_accurate(const Array& x) {
  return run_elements("exp", "y_store4(flat_id, exp_accurate(x_load4(flat_id)));", x, x.shape());
}
Array tanh_accurate(const Array& x) {
  return run_elements("tanh", "y_store4(flat_id, tanh_accurate(x_load4(flat_id)));", x, x.shape());
}
/// [n] turns as 32-bit fractions -> [n, 2]: sine, cosine.
Array sincos_turns(const Array& turns) {
  return run_elements("sincos",
                      "uvec4 t = x_load4(flat_id);\n"
                      "y_store4(flat_id * 2u, vec4(sincos_turns(t.x), sincos_turns(t.y)));\n"
                      "y_store4(flat_id * 2u + 1u, vec4(sincos_turns(t.z), sincos_turns(t.w)));",
                      turns, {turns.size(), 2});
}

/// float32 numbers, evenly spaced and jittered.
Array sweep(gpu::Random& random, double low, double high, std::size_t count) {
  std::uniform_real_distribution<double> jitter(0, 1);
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] = low + (high - low) * (static_cast<double>(i) + jitter(random.engine())) / static_cast<double>(count);
  return array({count}, values);
}

gpu::ErrorStats errors(const Array& y, const Array& x, double (*exact)(double)) {
  return gpu::compare(y.values(), mapped(x, exact), DType::f32);
}

class ShaderMath : public GpuTest {};

/// Without `precise` (ES 3.1 bare) a compiler may reorder the last sums.
TEST_F(ShaderMath, ExpIsWithinOneUlp) {
  const double allowed = device().features().precise ? 1.0 : 1.5;
  for (const auto& [low, high] : {std::pair{-87.3, 88.7}, {-1.0, 1.0}, {-0.36, 0.36}, {-1e-3, 1e-3}}) {
    const auto x = sweep(random, low, high, 400000);
    const auto error = errors(exp_accurate(x), x, std::exp);
    EXPECT_LE(error.max_ulp, allowed) << "at " << x.values()[error.worst];
  }
}
TEST_F(ShaderMath, ExpAtItsEdges) {
  const auto y = exp_accurate(array({8}, {0, -0.0, infinity, -infinity, std::nan(""), 89, -200, 1e-40}));
  EXPECT_THAT(y.values(), ::testing::ElementsAre(1, 1, infinity, 0, ::testing::IsNan(), infinity, 0, 1));
  const auto x = array({4}, {88.72283, -87.33654, 3e38, -3e38});
  EXPECT_THAT(exp_accurate(x).values(),
              ::testing::ElementsAre(::testing::AllOf(::testing::Gt(3.4e38), ::testing::Lt(infinity)),
                                     ::testing::Gt(1.17e-38), infinity, 0));
}
TEST_F(ShaderMath, ExpFadesToZeroThroughTheSubnormalNumbers) {
  const auto x = sweep(random, -104, -87.4, 10000);
  for (const double v : exp_accurate(x).values()) ASSERT_TRUE(v >= 0 && v < 1.2e-38) << v;
}
TEST_F(ShaderMath, ExpNeverFalls) {
  const auto x = sweep(random, -2, 2, 100000);
  const auto in = x.values(), out = exp_accurate(x).values();
  for (std::size_t i = 1; i < in.size(); ++i)
    if (in[i] >= in[i - 1]) {
      ASSERT_GE(out[i] * (1 + 1.2e-7), out[i - 1]) << "at " << in[i];
    }
}

TEST_F(ShaderMath, TanhIsWithinThreeUlp) {
  for (const auto& [low, high] : {std::pair{-12.0, 12.0}, {-1.0, 1.0}, {0.3, 0.4}, {-1e-3, 1e-3}, {-1e-30, 1e-30}}) {
    const auto x = sweep(random, low, high, 400000);
    const auto error = errors(tanh_accurate(x), x, std::tanh);
    EXPECT_LE(error.max_ulp, 3.0) << "at " << x.values()[error.worst];
  }
}
TEST_F(ShaderMath, TanhAtItsEdges) {
  const auto y = tanh_accurate(array({8}, {0, infinity, -infinity, std::nan(""), 3e38, -3e38, 20, 1e-37}));
  EXPECT_THAT(y.values(),
              ::testing::ElementsAre(0, 1, -1, ::testing::IsNan(), 1, -1, 1, ::testing::DoubleNear(1e-37, 1e-44)));
}
TEST_F(ShaderMath, TanhIsOdd) {
  const auto x = sweep(random, -6, 6, 10000);
  const auto mirrored = array({x.size()}, mapped(x, std::negate<>()));
  EXPECT_EQ(tanh_accurate(mirrored).values(), mapped(tanh_accurate(x), std::negate<>()));
}

TEST_F(ShaderMath, SineAndCosineAreRightAllAroundTheTurn) {
  std::vector<double> turns;
  for (std::uint64_t i = 0; i < 400000; ++i) turns.push_back(static_cast<double>(i * 10737 + random.integer(0, 10736)));
  for (const double edge : {0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0})
    for (int step = -3; step <= 3; ++step)
      if (const double t = edge * 4294967296.0 + step; t >= 0 && t < 4294967296.0) turns.push_back(t);
  std::vector<double> expected;
  for (const double t : turns) {
    const double angle = 2 * std::numbers::pi * t / 4294967296.0;
    expected.push_back(std::sin(angle));
    expected.push_back(std::cos(angle));
  }
  const auto y = sincos_turns(array({turns.size()}, turns, DType::u32));
  EXPECT_LE(max_abs_error(y, expected), 1.5e-7);
}
TEST_F(ShaderMath, SineAndCosineOfQuarterTurnsAreExact) {
  EXPECT_THAT(sincos_turns(array({4}, {0, 1073741824.0, 2147483648.0, 3221225472.0}, DType::u32)).values(),
              ::testing::ElementsAre(0, 1, 1, 0, 0, -1, -1, 0));
}

}  // namespace
}  // namespace glassbox::testing
