#include "gpu/signature.h"

#include <map>

#include "gpu/array_access.h"
#include "gpu/encoder.h"
#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

/// Bytes of the types that shared arrays can have; three components take the place of four.
const std::map<std::string_view, std::uint64_t> shared_widths{
    {"float", 4}, {"uint", 4},   {"int", 4},    {"vec2", 8},  {"uvec2", 8},  {"ivec2", 8},
    {"vec3", 16}, {"uvec3", 16}, {"ivec3", 16}, {"vec4", 16}, {"uvec4", 16}, {"ivec4", 16}};

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
  while (width > 32) {
    const unsigned half = (width + 1) / 2;  // of an odd number the middle one waits
    out += fmt::format("  if (local_id < {0}u) group_scratch[local_id] = {1};\n  barrier();\n", width - half,
                       op("group_scratch[local_id]", fmt::format("group_scratch[local_id + {}u]", half)));
    width = half;
  }
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
    for (unsigned axis = 0; axis < 10; ++axis)
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
  const bool shuffles = features.shuffles && body.group_xor;
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
  if (shuffles)
    out += "#extension GL_KHR_shader_subgroup_basic : require\n#extension GL_KHR_shader_subgroup_shuffle : require\n";
  const bool half_floats = body.halves && features.half_floats;
  if (half_floats) out += "#extension GL_NV_gpu_shader5 : require\n";
  out += "precision highp float;\nprecision highp int;\n";
  if (body.halves) out += fmt::format("#define HALF_FLOATS {}\n", int(half_floats));
  if (body.halves && !half_floats)
    out += "#define f16vec2 vec2\n#define float16_t float\n#define unpackFloat2x16 unpackHalf2x16\n";
  if (images) out += "precision highp uimageBuffer;\n";
  if (texels) out += "precision highp usamplerBuffer;\n";
  if (!features.precise) out += "#define precise\n";
  out += fmt::format("#define LOCAL_SIZE {}u\nlayout(local_size_x = {}) in;\n", variant.local_size, variant.local_size);
  // A lane runs a part of the grid, from a group that its parameter block names.
  const bool lanes = device.lanes() != nullptr;
  out += lanes ? "#define group_id (gl_WorkGroupID + glassbox_first_group.xyz)\n"
                 "#define global_id (gl_GlobalInvocationID + glassbox_first_group.xyz * gl_WorkGroupSize)\n"
               : "#define group_id gl_WorkGroupID\n#define global_id gl_GlobalInvocationID\n";
  out +=
      "#define local_id gl_LocalInvocationIndex\n"
      "#define flat_group (group_id.y * gl_NumWorkGroups.x + group_id.x)\n"
      "#define flat_id (flat_group * LOCAL_SIZE + local_id)\n";
  for (const auto& [name, value] : variant.constants) out += fmt::format("#define {} {}\n", name, value);

  const auto fields = parameter_fields(kernel, body);
  if (lanes || !fields.empty()) {
    out += "layout(std140, binding = 0) uniform Params {\n";
    if (lanes) out += "  uvec4 glassbox_first_group;\n";
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
    out += fmt::format("layout(std430, binding = {0}) restrict {1}buffer Slot{0} {{ {2} slot{0}[]; }};\n", slot,
                       written ? "" : "readonly ", variant.wide_slots[slot] ? "uvec4" : "uint");
  }
  std::vector<bool> declared_image(CommandEncoder::most_units), declared_texels(CommandEncoder::most_units);
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
    const auto width = shared_widths.find(type);
    require(width != shared_widths.end(), "[{}] shared {} {}: expected float, uint, int or a vector of these",
            kernel.name, type, name);
    require(count > 0, "[{}] shared {} {} has no elements", kernel.name, type, name);
    shared_bytes += width->second * count;
    out += fmt::format("shared {} {}[{}];\n", type, name, count);
  };
  for (const auto& array : kernel.shared)
    declare_shared(array.type, array.name, std::uint64_t{array.per_invocation} * variant.local_size + array.fixed);
  if ((body.group_sum || body.group_max || (body.group_xor && !shuffles)) && variant.local_size > 1)
    declare_shared("float", "group_scratch", variant.local_size);
  require(shared_bytes <= device.limits().shared_bytes, "[{}] needs {} bytes of shared memory, this device has {}",
          kernel.name, shared_bytes, device.limits().shared_bytes);

  if (halves) out += unpacking_functions;
  if (packs) out += packing_functions;
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
  if (body.group_xor)
    out += shuffles ? "float group_xor(float v, uint mask) { return subgroupShuffleXor(v, mask); }\n"
                    : "float group_xor(float v, uint mask) {\n  barrier();\n  group_scratch[local_id] = v;\n"
                      "  barrier();\n  return group_scratch[local_id ^ mask];\n}\n";
  out += body.header;
  out += "void main() {\n#line 1\n" + body.code + "\n}\n";
  return out;
}

}  // namespace glassbox::gpu
