#include "gpu/array_access.h"

#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

std::string_view glsl_vector(DType dtype) {
  return dtype == DType::u32 ? "uvec4" : dtype == DType::i32 ? "ivec4" : "vec4";
}

/// GLSL expression of 32-bit words as the scalar or vector type a body sees.
std::string from_bits(DType dtype, const std::string& bits, bool vector) {
  if (dtype == DType::f32) return fmt::format("uintBitsToFloat({})", bits);
  if (dtype == DType::i32) return fmt::format("{}({})", vector ? "ivec4" : "int", bits);
  return bits;
}

}  // namespace

const std::string_view unpacking_functions = R"(
vec4 glassbox_half4(uvec2 w) { return vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y)); }
vec4 glassbox_brain4(uvec2 w) {
  return uintBitsToFloat(uvec4(w.x << 16, w.x & 0xffff0000u, w.y << 16, w.y & 0xffff0000u));
}
)";

// Rounding to nearest even in integers: packHalf2x16 rounds as the driver likes.
const std::string_view packing_functions = R"(
uint glassbox_to_half(float v) {
  uint bits = floatBitsToUint(v), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;
  if (magnitude >= 0x38800000u) return sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13);
  if (magnitude < 0x33000000u) return sign;
  uint exponent = magnitude >> 23, mantissa = (magnitude & 0x7fffffu) | 0x800000u, shift = 126u - exponent;
  uint kept = mantissa >> shift, rest = mantissa & ((1u << shift) - 1u), tie = 1u << (shift - 1u);
  return sign | (kept + ((rest > tie || (rest == tie && (kept & 1u) == 1u)) ? 1u : 0u));
}
uint glassbox_to_brain(float v) {
  uint bits = floatBitsToUint(v);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16) | 0x40u;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}
)";

std::string_view glsl_scalar(DType dtype) {
  return dtype == DType::u32 ? "uint" : dtype == DType::i32 ? "int" : "float";
}

std::string reading_functions(const std::string& x, const Argument& a, const ArrayUse& use, bool wide) {
  std::string out;
  const auto emit = [&]<class... Args>(fmt::format_string<Args...> f, Args&&... args) {
    out += fmt::format(f, std::forward<Args>(args)...) + "\n";
  };
  const bool narrow = size_of(a.dtype) == 2;
  const auto scalar = glsl_scalar(a.dtype), vector = glsl_vector(a.dtype);

  emit("#define {}_vec4 {}", x, vector);
  if (a.door == LoadPath::image)
    emit("uvec4 {0}_texel(uint t) {{ return imageLoad(image{1}, int({0}_offset + t)); }}", x, a.slot);
  else if (a.door == LoadPath::texel)
    emit("uvec4 {0}_texel(uint t) {{ return texelFetch(texels{1}, int({0}_offset + t)); }}", x, a.slot);
  else if (wide)
    emit("uvec4 {0}_texel(uint t) {{ return slot{1}[{0}_offset + t]; }}", x, a.slot);
  else
    emit(
        "uvec4 {0}_texel(uint t) {{ uint w = ({0}_offset + t) * 4u; return uvec4(slot{1}[w], slot{1}[w + 1u], "
        "slot{1}[w + 2u], slot{1}[w + 3u]); }}",
        x, a.slot);

  if (use.scalar || (use.row4 && a.row_level == 0)) {
    if (a.door == LoadPath::ssbo && wide)
      emit("uint {0}_word(uint w) {{ return slot{1}[{0}_offset + (w >> 2)][w & 3u]; }}", x, a.slot);
    else if (a.door == LoadPath::ssbo)
      emit("uint {0}_word(uint w) {{ return slot{1}[{0}_offset * 4u + w]; }}", x, a.slot);
    else
      emit("uint {0}_word(uint w) {{ return {0}_texel(w >> 2)[w & 3u]; }}", x);
    if (a.dtype == DType::f16)
      emit("float {0}_at(uint i) {{ return unpackHalf2x16({0}_word(i >> 1) >> ((i & 1u) * 16u)).x; }}", x);
    else if (a.dtype == DType::bf16)
      emit("float {0}_at(uint i) {{ return uintBitsToFloat(({0}_word(i >> 1) >> ((i & 1u) * 16u)) << 16); }}", x);
    else
      emit("{1} {0}_at(uint i) {{ return {2}; }}", x, scalar, from_bits(a.dtype, x + "_word(i)", false));
  }
  if (!use.texels()) return out;
  if (narrow) {
    const auto decode = a.dtype == DType::f16 ? "glassbox_half4" : "glassbox_brain4";
    if (a.door == LoadPath::ssbo && !wide)
      emit(
          "vec4 {0}_load4(uint i) {{ uint w = {0}_offset * 4u + i * 2u; return {2}(uvec2(slot{1}[w], slot{1}[w + "
          "1u])); }}",
          x, a.slot, decode);
    else
      emit("vec4 {0}_load4(uint i) {{ uvec4 t = {0}_texel(i >> 1); return {1}((i & 1u) == 0u ? t.xy : t.zw); }}", x,
           decode);
  } else {
    emit("{1} {0}_load4(uint i) {{ return {2}; }}", x, vector, from_bits(a.dtype, x + "_texel(i)", true));
  }
  if (!use.row4) return out;
  // A row of eights has no part of eight beyond its end: nothing to ask in the kernels that must be fast.
  if (a.row_level == 8) {
    emit("{1} {0}_load4(uint row, uint i) {{ return {0}_load4(row * ({0}_row >> 2) + i); }}", x, vector);
  } else if (a.row_level == 4) {
    emit(
        "{1} {0}_load4(uint row, uint i) {{ return i * 4u < {0}_row ? {0}_load4(row * ({0}_row >> 2) + i) : {1}(0); }}",
        x, vector);
  } else {
    emit(
        "{1} {0}_load4(uint row, uint i) {{\n  uint e = i * 4u, b = row * {0}_row + e;\n  {1} v = {1}(0);\n"
        "  if (e < {0}_row) v.x = {0}_at(b);\n  if (e + 1u < {0}_row) v.y = {0}_at(b + 1u);\n"
        "  if (e + 2u < {0}_row) v.z = {0}_at(b + 2u);\n  if (e + 3u < {0}_row) v.w = {0}_at(b + 3u);\n  return v;\n}}",
        x, vector);
  }
  if (a.row_level == 8 && narrow) {
    const auto decode = a.dtype == DType::f16 ? "glassbox_half4" : "glassbox_brain4";
    emit(
        "void {0}_load8(uint row, uint i, out vec4 a, out vec4 b) {{ uvec4 t = {0}_texel(row * ({0}_row >> 3) + i); a "
        "= {1}(t.xy); b = {1}(t.zw); }}",
        x, decode);
  } else {
    emit(
        "void {0}_load8(uint row, uint i, out {1} a, out {1} b) {{ a = {0}_load4(row, i * 2u); b = {0}_load4(row, i "
        "* 2u + 1u); }}",
        x, vector);
  }
  return out;
}

std::string writing_functions(const std::string& y, const Argument& a, const ArrayUse& use, bool wide,
                              const std::string& kernel) {
  std::string out;
  const auto emit = [&]<class... Args>(fmt::format_string<Args...> f, Args&&... args) {
    out += fmt::format(f, std::forward<Args>(args)...) + "\n";
  };
  const bool narrow = size_of(a.dtype) == 2;
  const auto scalar = glsl_scalar(a.dtype), vector = glsl_vector(a.dtype);
  const auto word = [&](const std::string& w) {
    return wide ? fmt::format("slot{0}[{1}_offset + (({2}) >> 2)][({2}) & 3u]", a.slot, y, w)
                : fmt::format("slot{0}[{1}_offset * 4u + {2}]", a.slot, y, w);
  };
  const auto bits = [&](const std::string& v, bool one) {
    if (a.dtype == DType::f32) return fmt::format("floatBitsToUint({})", v);
    if (a.dtype == DType::i32) return fmt::format("{}({})", one ? "uint" : "uvec4", v);
    return v;
  };
  const auto pack = [&](const std::string& lo, const std::string& hi) {
    const auto f = a.dtype == DType::f16 ? "glassbox_to_half" : "glassbox_to_brain";
    return fmt::format("{0}({1}) | ({0}({2}) << 16)", f, lo, hi);
  };

  require(!(narrow && use.scalar), "[{}] {} of dtype {} cannot be stored element by element", kernel, y,
          name_of(a.dtype));
  if (use.scalar) {
    emit("{1} {0}_at(uint i) {{ return {2}; }}", y, scalar, from_bits(a.dtype, word("i"), false));
  }
  if (!narrow && (use.scalar || (use.row4 && a.row_level == 0)))
    emit("void {0}_put(uint i, {1} v) {{ {2} = {3}; }}", y, scalar, word("i"), bits("v", true));
  if (!use.texels()) return out;
  if (narrow) {
    const auto packed = fmt::format("uvec2({}, {})", pack("v.x", "v.y"), pack("v.z", "v.w"));
    if (wide)
      emit(
          "void {0}_store4(uint i, vec4 v) {{ uvec2 p = {2}; uint t = {0}_offset + (i >> 1); if ((i & 1u) == 0u) "
          "slot{1}[t].xy = p; else slot{1}[t].zw = p; }}",
          y, a.slot, packed);
    else
      emit(
          "void {0}_store4(uint i, vec4 v) {{ uvec2 p = {2}; uint w = {0}_offset * 4u + i * 2u; slot{1}[w] = p.x; "
          "slot{1}[w + 1u] = p.y; }}",
          y, a.slot, packed);
  } else if (wide) {
    emit("void {0}_store4(uint i, {1} v) {{ slot{2}[{0}_offset + i] = {3}; }}", y, vector, a.slot, bits("v", false));
  } else {
    emit(
        "void {0}_store4(uint i, {1} v) {{ uvec4 p = {3}; uint w = ({0}_offset + i) * 4u; slot{2}[w] = p.x; slot{2}[w "
        "+ 1u] = p.y; slot{2}[w + 2u] = p.z; slot{2}[w + 3u] = p.w; }}",
        y, vector, a.slot, bits("v", false));
  }
  if (!use.row4) return out;
  if (a.row_level >= 4) {
    emit("void {0}_store4(uint row, uint i, {1} v) {{ {2}{0}_store4(row * ({0}_row >> 2) + i, v); }}", y, vector,
         a.row_level == 8 ? "" : fmt::format("if (i * 4u < {}_row) ", y));
  } else if (narrow) {  // the runtime sends odd rows of 16-bit types through float32: here they are even
    emit(
        "void {0}_store4(uint row, uint i, vec4 v) {{\n  uint e = i * 4u, b = (row * {0}_row + e) >> 1;\n  if (e < "
        "{0}_row) {1} = {2};\n  if (e + 2u < {0}_row) {3} = {4};\n}}",
        y, word("b"), pack("v.x", "v.y"), word("(b + 1u)"), pack("v.z", "v.w"));
  } else {
    emit(
        "void {0}_store4(uint row, uint i, {1} v) {{\n  uint e = i * 4u, b = row * {0}_row + e;\n  if (e < {0}_row) "
        "{0}_put(b, v.x);\n  if (e + 1u < {0}_row) {0}_put(b + 1u, v.y);\n"
        "  if (e + 2u < {0}_row) {0}_put(b + 2u, v.z);\n  if (e + 3u < {0}_row) {0}_put(b + 3u, v.w);\n}}",
        y, vector);
  }
  return out;
}

}  // namespace glassbox::gpu
