#include "gpu/kernel_body.h"

#include "tests/gpu/runtime_support.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::DType;
using gpu::Kernel;
using gpu::parse_body;
using ::testing::DoubleNear;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pointwise;

Kernel typed(std::string body) {
  return {.name = "typed", .inputs = {"x", "idx"}, .outputs = {"y"}, .body = std::move(body)};
}
std::string code(std::string body) { return parse_body(typed(std::move(body))).code; }

TEST(ParseBody, TurnsAccessesIntoCalls) {
  EXPECT_EQ(code("y[i] = x[i + 1u];"), "y_put(uint(i),  x_at(uint(i + 1u)));\n");
  EXPECT_EQ(code("y[i] += x[i];"), "y_put(uint(i), y_at(uint(i)) + ( x_at(uint(i))));\n");
  EXPECT_EQ(code("y[i] <<= 2u;"), "y_put(uint(i), y_at(uint(i)) << ( 2u));\n");
  EXPECT_EQ(code("if (y[i] == x[idx[i]]) return;"), "if (y_at(uint(i)) == x_at(uint(idx_at(uint(i))))) return;\n");
  EXPECT_EQ(code("max[0] = maxy[1] + v.xy;"), "max[0] = maxy[1] + v.xy;\n") << "no arrays of this kernel";
}

TEST(ParseBody, EndsAStoreWhereItsExpressionEnds) {
  EXPECT_EQ(code("for (uint k = 0u; k < 4u; y[k] = 2.0, ++k) {}"),
            "for (uint k = 0u; k < 4u; y_put(uint(k),  2.0), ++k) {}\n");
  EXPECT_EQ(code("y[i] = max(x[0], x[1]), n++;"), "y_put(uint(i),  max(x_at(uint(0)), x_at(uint(1)))), n++;\n");
}

TEST(ParseBody, KeepsTheNumbersOfLines) {
  const auto at = [](const std::string& text) {
    const auto before = text.substr(0, text.find("HERE"));
    return std::count(before.begin(), before.end(), '\n');
  };
  for (const std::string body :
       {"y[i]\n = x\n[i];\nHERE", "/* a\nb */ y[i] += 1.0; // c\n HERE", "y[i\n] -= \n 1.0; HERE",
        "#include \"include/exp.glsl\"\n\nHERE", "x_shape[0]; y\n[\ni\n] = 1.0;\nHERE"})
    EXPECT_EQ(at(code(body)), at(body)) << body;
}

TEST(ParseBody, NotesWhatIsUsed) {
  const auto uses =
      parse_body(typed("y_store4(i, x_load4(i)); n = x_size + idx_row + x_shape[1] + x_shape[3]; group_sum(v);"));
  EXPECT_TRUE(uses.uses[0].flat4 && uses.uses[0].size && !uses.uses[0].row4 && !uses.uses[0].scalar);
  EXPECT_EQ(uses.uses[0].shape, 0b1010u);
  EXPECT_TRUE(uses.uses[1].row && !uses.uses[1].texels() && !uses.uses[1].scalar);
  EXPECT_TRUE(uses.uses[2].flat4 && !uses.uses[2].row4);
  EXPECT_TRUE(uses.group_sum && !uses.group_max && !uses.group_xor && !uses.halves);
  const auto others = parse_body(typed("f16vec2 a; y[0] = group_xor(v, 1u);"));
  EXPECT_TRUE(others.group_xor && others.halves && !others.group_sum);
}

TEST(ParseBody, TellsRowsFromFlat) {
  const auto uses = parse_body(typed("y_store4(r, i, x_load4(r, f(i, 2)) + idx_load4(f(i, 2)));")).uses;
  EXPECT_TRUE(uses[0].row4 && !uses[0].flat4 && uses[0].row);
  EXPECT_TRUE(uses[1].flat4 && !uses[1].row4);
  EXPECT_TRUE(uses[2].row4 && !uses[2].flat4);
  EXPECT_TRUE(parse_body(typed("x_load8(r, i, a, b);")).uses[0].row4);
}

TEST(ParseBody, SeesNothingInComments) {
  const auto body = parse_body(typed("// x[0] x_load4(r, i) group_sum(v)\n/* y[i] = x_size; group_max( */ n = 1;"));
  EXPECT_FALSE(body.group_sum || body.group_max || body.uses[0].scalar || body.uses[0].texels() || body.uses[0].size);
  EXPECT_EQ(body.code, "\n  n = 1;\n");
}

TEST(ParseBody, BringsAnIncludeOnceAndWithWhatItIncludes) {
  const auto header = parse_body(typed("#include \"include/exp.glsl\"\n#include \"include/exp.glsl\"\n")).header;
  EXPECT_EQ(header, parse_body(typed("#include \"include/exp.glsl\"\n")).header);
  EXPECT_FALSE(header.empty());
}

TEST(ParseBody, RefusesWhatItCannotRead) {
  EXPECT_ERROR(code("y[i = 1;"), "[typed] the access to y has no closing ]");
  EXPECT_ERROR(code("float v = x[(i];"), "[typed] the access to x has no closing ]");
  EXPECT_ERROR(code("y[i] = 1.0"), "[typed] the store to y does not end with ';'");
  EXPECT_ERROR(code("x[i] = 1.0;"), "[typed] writes to x, which is an input");
  EXPECT_ERROR(code("x[i] *= 1.0;"), "[typed] writes to x, which is an input");
  EXPECT_ERROR(code("y[i]++;"), "write y[...] += 1");
  EXPECT_ERROR(code("y[n++] += 1.0;"), "changes something");
  EXPECT_ERROR(code("n = x_shape[d];"), "[typed] x_shape takes a literal axis");
  EXPECT_ERROR(code("/* y[i] = 1.0;"), "[typed] a comment does not end");
  EXPECT_ERROR(code("#include \"include/none.glsl\"\n"), "[typed] includes \"include/none.glsl\"");
  EXPECT_ERROR(code("#include \"include/exp.glsl\n"), "does not close its quotes");
}

TEST(ParseBody, RefusesNamesThatAreNone) {
  const auto named = [](std::vector<std::string> inputs) {
    return parse_body({.name = "typed", .inputs = std::move(inputs), .outputs = {"y"}, .body = ""});
  };
  EXPECT_ERROR(named({"a b"}), "[typed] 'a b' is no name");
  EXPECT_ERROR(named({""}), "'' is no name");
  EXPECT_ERROR(named({"4x"}), "'4x' is no name");
  EXPECT_ERROR(named({"x", "y"}), "[typed] the name y is given twice");
  EXPECT_ERROR(named({"gl_x"}), "reserved");
  EXPECT_ERROR(named({"a__b"}), "reserved");
  EXPECT_ERROR(parse_body({.name = "typed", .inputs = {"x"}, .params = {gpu::param<float>("x")}}), "given twice");
}

class BodyOnGpu : public GpuTest {
 protected:
  /// y [8] of a body over x = 0, 10, 20, ... and idx = 7, 6, ..., 0.
  static std::vector<double> run(const std::string& body, std::size_t invocations = 8) {
    std::vector<double> tens(8), back(8);
    for (std::size_t i = 0; i < 8; ++i) tens[i] = 10.0 * static_cast<double>(i), back[i] = 7.0 - static_cast<double>(i);
    return launch({.kernel = typed(body), .outputs = {{{8}, DType::f32}}, .invocations = invocations},
                  {array({8}, tens), array({8}, back, DType::u32)})
        .values();
  }
};

TEST_F(BodyOnGpu, ReadsAndWritesElements) {
  EXPECT_THAT(run("if (flat_id < y_size) y[flat_id] = x[flat_id] + 1.0;"), ElementsAre(1, 11, 21, 31, 41, 51, 61, 71));
  EXPECT_THAT(run("if (flat_id < y_size) y[flat_id] = x[idx[flat_id]];"), ElementsAre(70, 60, 50, 40, 30, 20, 10, 0));
  EXPECT_THAT(run("if (flat_id < y_size) y[idx[flat_id]] = x[idx[idx[flat_id]]]; // backwards and back"),
              ElementsAre(70, 60, 50, 40, 30, 20, 10, 0));
}
TEST_F(BodyOnGpu, UpdatesElements) {
  EXPECT_THAT(
      run("if (flat_id >= 8u) return; uint i = flat_id; y[i] = 5.0; y[i] += x[i]; y[i] *= 2.0; y[i] -= 1.0; "
          "y[i] /= 3.0;"),
      Pointwise(DoubleNear(1e-5), std::vector<double>{3, 29.0 / 3, 49.0 / 3, 23, 89.0 / 3, 109.0 / 3, 43, 149.0 / 3}));
}
TEST_F(BodyOnGpu, TakesArraysWithinMacrosAndLoops) {
  EXPECT_THAT(run("#define TWICE(i) (x[i] * 2.0)\nif (flat_id == 0u)\n  for (uint i = 0u; i < y_size; y[i] = TWICE(i), "
                  "++i) {}"),
              ElementsAre(0, 20, 40, 60, 80, 100, 120, 140));
}
TEST_F(BodyOnGpu, KnowsShapes) {
  const auto y =
      launch({.kernel = {.name = "shapes",
                         .inputs = {"x"},
                         .outputs = {"y"},
                         .body = "if (flat_id > 0u) return;\ny[0] = float(x_size); y[1] = float(x_row);\n"
                                 "y[2] = float(x_shape[0]); y[3] = float(x_shape[2]); y[4] = float(y_shape[0]);"},
              .outputs = {{{5}, DType::f32}}},
             {zeros({2, 3, 7})});
  EXPECT_THAT(y.values(), ElementsAre(42, 7, 2, 7, 5));
}
TEST_F(BodyOnGpu, RefusesAnAxisThatTheArrayLacks) {
  for (const char* axis : {"3", "9"})
    EXPECT_ERROR(
        launch({.kernel = typed(std::string("y[0] = float(x_shape[") + axis + "]);"), .outputs = {{{1}, DType::f32}}},
               {zeros({2, 3, 7}), zeros({1}, DType::u32)})
            .values(),
        "axis " + std::string(axis));
}

TEST_F(BodyOnGpu, NamesKernelAndLineOfASyntaxError) {
  for (const std::string body :
       {"uint a = 1u;\nuint b = 2u;\nuint c = nonsense;\n", "// 1\n/* 2 */\ny[0] = nonsense;\n",
        "#include \"include/exp.glsl\"\ny\n[0] = x[0] + nonsense;\n"}) {
    try {
      run(body);
      ADD_FAILURE() << "compiled: " << body;
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_THAT(message, HasSubstr("[typed] does not compile"));
      EXPECT_THAT(message, HasSubstr("nonsense"));
      EXPECT_THAT(message, ::testing::ContainsRegex("[:(][23][(:)]")) << "its line";
      EXPECT_THAT(message, Not(HasSubstr("\n")));
    }
  }
  EXPECT_THAT(run("if (flat_id < 8u) y[flat_id] = 1.0;"), Each(1)) << "the device goes on";
}

TEST_F(BodyOnGpu, OfOneNameAndTextWithOtherArraysIsAnotherKernel) {
  const std::string body = "if (flat_id == 0u) y[0] = x[0];";
  const auto one = launch(
      {.kernel = {.name = "same", .inputs = {"x"}, .outputs = {"y"}, .body = body}, .outputs = {{{1}, DType::f32}}},
      {array({1}, {3})});
  const auto two = launch({.kernel = {.name = "same", .inputs = {"w", "x"}, .outputs = {"y"}, .body = body},
                           .outputs = {{{1}, DType::f32}}},
                          {array({1}, {4}), array({1}, {5})});
  EXPECT_THAT(one.values(), ElementsAre(3));
  EXPECT_THAT(two.values(), ElementsAre(5));
}

}  // namespace
}  // namespace glassbox::testing
