#include "gpu/signature.h"

#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

std::string_view glsl_scalar(DType dtype) {
  return dtype == DType::u32 ? "uint" : dtype == DType::i32 ? "int" : "float";
}
std::string_view glsl_vector(DType dtype) {
  return dtype == DType::u32 ? "uvec4" : dtype == DType::i32 ? "ivec4" : "vec4";
}

/// GLSL expression of a 32-bit word as the scalar or vector type a body sees.
std::string from_bits(DType dtype, const std::string& bits) {
  if (dtype == DType::f32) return fmt::format("uintBitsToFloat({})", bits);
  if (dtype == DType::i32)
    return fmt::format("{}({})",
                       bits.starts_with("uvec4") || bits.find("_texel(") != std::string::npos ? "ivec4" : "int", bits);
  return bits;
}

constexpr std::string_view half_functions = R"(
vec4 glassbox_half4(uvec2 w) { return vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y)); }
vec4 glassbox_brain4(uvec2 w) {
  return uintBitsToFloat(uvec4(w.x << 16, w.x & 0xffff0000u, w.y << 16, w.y & 0xffff0000u));
}
)";

// Rounding to nearest even in integers: packHalf2x16 rounds as the driver likes.
constexpr std::string_view pack_functions = R"(
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

/// Reads of one array: a word, a texel, then what its dtype makes of them.
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
      emit("{1} {0}_at(uint i) {{ return {2}; }}", x, scalar, from_bits(a.dtype, x + "_word(i)"));
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
    emit("{1} {0}_load4(uint i) {{ return {2}; }}", x, vector, from_bits(a.dtype, x + "_texel(i)"));
  }
  if (!use.row4) return out;
  if (a.row_level >= 4) {
    emit("{1} {0}_load4(uint row, uint i) {{ return {0}_load4(row * ({0}_row >> 2) + i); }}", x, vector);
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
    const auto guard = a.row_level == 8 ? "" : fmt::format("i * 8u + 4u >= {}_row ? {}(0) : ", x, vector);
    emit(
        "void {0}_load8(uint row, uint i, out {1} a, out {1} b) {{ a = {0}_load4(row, i * 2u); b = {2}{0}_load4(row, i "
        "* 2u + 1u); }}",
        x, vector, guard);
  }
  return out;
}

/// Writes of one array. 16-bit types are written by pairs or fours alone: a single half would race with its neighbour.
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
    emit("{1} {0}_at(uint i) {{ return {2}; }}", y, scalar, from_bits(a.dtype, word("i")));
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
    emit("void {0}_store4(uint row, uint i, {1} v) {{ {0}_store4(row * ({0}_row >> 2) + i, v); }}", y, vector);
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

/// group_sum, group_max: subgroups where the driver has them; else shared memory, a tree down to 32 partial values and
/// then one straight line (a tree to the end is slow on llvmpipe). The order is fixed either way: runs agree bit for
/// bit.
std::string group_function(const std::string& name, const std::string& combine, const std::string& subgroup,
                           const std::string& identity, unsigned local_size, bool subgroups) {
  const auto op = [&](const std::string& a, const std::string& b) { return fmt::format(fmt::runtime(combine), a, b); };
  if (local_size == 1) return fmt::format("float {}(float v) {{ return v; }}\n", name);
  if (subgroups)
    return fmt::format(
        "float {0}(float v) {{\n  v = {1}(v);\n  if (gl_NumSubgroups > 1u) {{\n    barrier();\n    if "
        "(subgroupElect()) group_scratch[gl_SubgroupID] = v;\n    barrier();\n    v = {2};\n"
        "    for (uint i = 0u; i < gl_NumSubgroups; ++i) v = {3};\n  }}\n  return v;\n}}\n",
        name, subgroup, identity, op("v", "group_scratch[i]"));
  std::string out =
      fmt::format("float {}(float v) {{\n  barrier();\n  group_scratch[local_id] = v;\n  barrier();\n", name);
  unsigned width = local_size;
  for (; width > 32; width /= 2)
    out += fmt::format("  if (local_id < {0}u) group_scratch[local_id] = {1};\n  barrier();\n", width / 2,
                       op("group_scratch[local_id]", fmt::format("group_scratch[local_id + {}u]", width / 2)));
  out += "  v = group_scratch[0];\n";
  for (unsigned i = 1; i < width; ++i) out += fmt::format("  v = {};\n", op("v", fmt::format("group_scratch[{}]", i)));
  return out + "  return v;\n}\n";
}

}  // namespace

std::vector<Field> parameter_fields(const Kernel& kernel, const KernelBody& body) {
  std::vector<Field> fields;
  for (std::size_t i = 0; i < body.uses.size(); ++i) {
    const auto& use = body.uses[i];
    if (use.scalar || use.texels()) fields.push_back({Field::Kind::offset, i});
    if (use.size) fields.push_back({Field::Kind::size, i});
    if (use.row) fields.push_back({Field::Kind::row, i});
    for (unsigned axis = 0; axis < 8; ++axis)
      if (use.shape >> axis & 1u) fields.push_back({Field::Kind::shape, i, axis});
  }
  for (std::size_t i = 0; i < kernel.params.size(); ++i) fields.push_back({Field::Kind::param, i});
  return fields;
}

std::string generate_glsl(const Device& device, const Kernel& kernel, const KernelBody& body, const Variant& variant) {
  const auto& features = device.features();
  const auto array_name = [&](std::size_t i) {
    return i < kernel.inputs.size() ? kernel.inputs[i] : kernel.outputs[i - kernel.inputs.size()];
  };
  require(variant.local_size >= 1 && variant.local_size <= device.limits().invocations,
          "[{}] a workgroup of {} does not fit this device's {}", kernel.name, variant.local_size,
          device.limits().invocations);

  const bool subgroups = features.subgroups && (body.group_sum || body.group_max);
  std::string out = fmt::format("#version {} es\n", features.es_version);
  bool images = false, texels = false, halves = false, packs = false;
  for (std::size_t i = 0; i < variant.arguments.size(); ++i) {
    const auto& a = variant.arguments[i];
    images |= a.door == LoadPath::image;
    texels |= a.door == LoadPath::texel;
    (i < kernel.inputs.size() ? halves : packs) |= size_of(a.dtype) == 2;
  }
  if (features.es_version < 320 && features.precise) out += "#extension GL_EXT_gpu_shader5 : enable\n";
  if (features.es_version < 320 && (images || texels))
    out += "#extension GL_EXT_texture_buffer : enable\n#extension GL_OES_texture_buffer : enable\n";
  if (subgroups)
    out +=
        "#extension GL_KHR_shader_subgroup_basic : require\n#extension GL_KHR_shader_subgroup_arithmetic : require\n";
  out += "precision highp float;\nprecision highp int;\n";
  if (images) out += "precision highp uimageBuffer;\n";
  if (texels) out += "precision highp usamplerBuffer;\n";
  if (!features.precise) out += "#define precise\n";
  out += fmt::format("#define LOCAL_SIZE {}u\nlayout(local_size_x = {}) in;\n", variant.local_size, variant.local_size);
  out +=
      "#define group_id gl_WorkGroupID\n#define local_id gl_LocalInvocationIndex\n#define global_id "
      "gl_GlobalInvocationID\n"
      "#define flat_group (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x)\n#define flat_id (flat_group * "
      "LOCAL_SIZE + local_id)\n";
  for (const auto& [name, value] : variant.constants) out += fmt::format("#define {} {}\n", name, value);

  const auto fields = parameter_fields(kernel, body);
  if (!fields.empty()) {
    out += "layout(std140, binding = 0) uniform Params {\n";
    for (const auto& field : fields) {
      switch (field.kind) {
        case Field::Kind::offset:
          out += fmt::format("  uint {}_offset;\n", array_name(field.index));
          break;
        case Field::Kind::size:
          out += fmt::format("  uint {}_size;\n", array_name(field.index));
          break;
        case Field::Kind::row:
          out += fmt::format("  uint {}_row;\n", array_name(field.index));
          break;
        case Field::Kind::shape:
          out += fmt::format("  uint {}_shape_{};\n", array_name(field.index), field.axis);
          break;
        case Field::Kind::param:
          out +=
              fmt::format("  {} {};\n", glsl_scalar(kernel.params[field.index].type), kernel.params[field.index].name);
          break;
      }
    }
    out += "};\n";
  }
  // A slot is readonly where only inputs use it, writeonly where only outputs do and none of them is read back.
  for (unsigned slot = 0; slot < variant.wide_slots.size(); ++slot) {
    bool written = false;
    for (std::size_t i = kernel.inputs.size(); i < variant.arguments.size(); ++i)
      written |= variant.arguments[i].door == LoadPath::ssbo && variant.arguments[i].slot == slot;
    out += fmt::format("layout(std430, binding = {0}) {1}buffer Slot{0} {{ {2} slot{0}[]; }};\n", slot,
                       written ? "" : "readonly ", variant.wide_slots[slot] ? "uvec4" : "uint");
  }
  std::vector<bool> declared_image(16), declared_texels(16);
  for (const auto& a : variant.arguments) {
    if (a.door == LoadPath::image && !declared_image.at(a.slot)) {
      out += fmt::format("layout(rgba32ui, binding = {0}) readonly uniform uimageBuffer image{0};\n", a.slot);
      declared_image[a.slot] = true;
    }
    if (a.door == LoadPath::texel && !declared_texels.at(a.slot)) {
      out += fmt::format("layout(binding = {0}) uniform usamplerBuffer texels{0};\n", a.slot);
      declared_texels[a.slot] = true;
    }
  }
  std::uint64_t shared_bytes = 0;
  const auto declare_shared = [&](const std::string& type, const std::string& name, std::uint64_t count) {
    const std::uint64_t width = type == "vec4" || type == "uvec4" || type == "ivec4"   ? 16
                                : type == "vec2" || type == "uvec2" || type == "ivec2" ? 8
                                                                                       : 4;
    shared_bytes += width * count;
    out += fmt::format("shared {} {}[{}];\n", type, name, count);
  };
  for (const auto& array : kernel.shared)
    declare_shared(array.type, array.name, std::uint64_t{array.per_invocation} * variant.local_size + array.fixed);
  if ((body.group_sum || body.group_max) && variant.local_size > 1)
    declare_shared("float", "group_scratch", variant.local_size);
  require(shared_bytes <= device.limits().shared_bytes, "[{}] needs {} bytes of shared memory, this device has {}",
          kernel.name, shared_bytes, device.limits().shared_bytes);

  if (halves) out += half_functions;
  if (packs) out += pack_functions;
  for (std::size_t i = 0; i < variant.arguments.size(); ++i) {
    const auto& use = body.uses[i];
    if (!use.scalar && !use.texels()) continue;
    const auto& a = variant.arguments[i];
    const bool wide = a.door == LoadPath::ssbo && variant.wide_slots.at(a.slot);
    if (i < kernel.inputs.size())
      out += reading_functions(array_name(i), a, use, wide);
    else
      out += writing_functions(array_name(i), a, use, wide, kernel.name);
  }
  if (body.group_sum)
    out += group_function("group_sum", "{} + {}", "subgroupAdd", "0.0", variant.local_size, subgroups);
  if (body.group_max)
    out += group_function("group_max", "max({}, {})", "subgroupMax", "uintBitsToFloat(0xff800000u)", variant.local_size,
                          subgroups);
  out += body.header;
  out += "void main() {\n#line 1\n" + body.code + "\n}\n";
  return out;
}

}  // namespace glassbox::gpu
