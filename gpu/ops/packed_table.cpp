#include "gpu/ops/packed_table.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <nlohmann/json.hpp>

#include "gpu/cache_dir.h"
#include "gpu/error.h"
#include "gpu/shader_source.h"

namespace glassbox::gpu {
namespace {

using Json = nlohmann::ordered_json;
using How = PackedVariant::Kernel;

constexpr std::pair<std::string_view, How> kernels[] = {
    {"group", How::group}, {"lanes", How::lanes}, {"tokens", How::tokens}, {"tile", How::tile}};
constexpr std::pair<const char*, unsigned PackedVariant::*> fields[] = {
    {"local_size", &PackedVariant::local_size}, {"tokens", &PackedVariant::tokens},
    {"tiles", &PackedVariant::tiles},           {"rows", &PackedVariant::rows},
    {"vectors", &PackedVariant::vectors},       {"chunks", &PackedVariant::chunks}};

std::string_view name_of(How kernel) {
  return std::find_if(std::begin(kernels), std::end(kernels), [&](const auto& k) { return k.second == kernel; })->first;
}

/// Of all that a measurement was made with.
std::string shaders_hash() {
  std::string text;
  for (const auto& [name, built_in] : shader_table())
    if (name.starts_with("packed_matmul") || name.starts_with("include/") || name == "tokens_first.comp" ||
        name == "sum_parts.comp")
      text += shader_source(name);
  return fmt::format("{:016x}", stable_hash(text));
}

Json header(const Device& device) {
  return {{"device", device.renderer()}, {"driver", device.version()}, {"shaders", shaders_hash()}};
}

Json to_json(const PackedCase& of, const PackedChoice& choice) {
  Json variant = {{"kernel", name_of(choice.variant.kernel)}};
  for (const auto& [name, field] : fields) variant[name] = choice.variant.*field;
  return {{"format", name_of(of.format)},
          {"rows", of.rows},
          {"columns", of.columns},
          {"tokens", of.tokens},
          {"activations", name_of(of.activations)},
          {"variant", variant},
          {"us", choice.us},
          {"rule_us", choice.rule_us}};
}

/// The number at a key, at least 0 and at most 2^31.
double number(const Json& json, const char* key) {
  constexpr double most = 1u << 31;
  require(json.is_object() && json.contains(key) && json[key].is_number() && json[key] >= 0 && json[key] <= most,
          "'{}' must be a number from 0 to 2^31", key);
  return json[key];
}
std::size_t count(const Json& json, const char* key) {
  const double value = number(json, key);
  require(value >= 1 && value == static_cast<double>(static_cast<std::size_t>(value)), "'{}' must be a whole number",
          key);
  return static_cast<std::size_t>(value);
}
template <class Names, class NameOf>
auto one_of(const Json& json, const char* key, const Names& names, const NameOf& name) {
  require(json.is_object() && json.contains(key) && json[key].is_string(), "'{}' must be a name", key);
  const auto found =
      std::find_if(std::begin(names), std::end(names), [&](const auto& each) { return json[key] == name(each); });
  require(found != std::end(names), "'{}' is none that Glassbox knows", key);
  return *found;
}

std::pair<PackedCase, PackedChoice> from_json(const Device& device, const Json& json) {
  PackedCase of{one_of(json, "format", packed_formats, [](PackedFormat format) { return gpu::name_of(format); }),
                count(json, "rows"), count(json, "columns"), count(json, "tokens")};
  of.activations = one_of(json, "activations", all_activations, [](Activations each) { return gpu::name_of(each); });
  require(json.contains("variant"), "'variant' is missing");
  const Json& fields_of = json["variant"];
  PackedChoice choice{.variant = {}, .us = number(json, "us"), .rule_us = number(json, "rule_us")};
  choice.variant.activations = of.activations;
  choice.variant.kernel = one_of(fields_of, "kernel", kernels, [](const auto& k) { return k.first; }).second;
  for (const auto& [name, field] : fields) choice.variant.*field = static_cast<unsigned>(count(fields_of, name));
  require(std::has_single_bit(of.tokens), "'tokens' must be a power of two");
  require(packed_fits(device.limits(), choice.variant, of.tokens), "this device does not run {} on {} tokens",
          describe(choice.variant), of.tokens);
  return {of, choice};
}

}  // namespace

PackedCase packed_case(const PackedLayout& layout, std::size_t tokens, Activations activations) {
  return {layout.format, layout.rows, layout.columns, std::bit_ceil(tokens), activations};
}

bool packed_fits(const Limits& limits, const PackedVariant& variant, std::size_t tokens) {
  const auto small_power = [](unsigned value, unsigned most) { return std::has_single_bit(value) && value <= most; };
  const std::size_t local_size = variant.local_size, float_bytes = 4;
  switch (variant.kernel) {
    case How::group:  // one float of shared memory for each result, and for the norm that may be fused in
      return variant.activations != Activations::int8 &&
             (variant.activations == Activations::f32 || (tokens == 1 && 8 * variant.tiles <= local_size)) &&
             small_power(variant.local_size, limits.invocations) && local_size >= 8 && small_power(variant.tiles, 8) &&
             small_power(variant.tokens, 8) &&
             (std::max(2u, variant.tiles) + 1) * variant.tokens * local_size * float_bytes <= limits.shared_bytes;
    case How::lanes:  // x stands in registers: 12 blocks of floats, 31 of bytes
      return variant.activations != Activations::half && local_size == 8 && tokens == 1 && variant.chunks >= 1 &&
             variant.chunks <= (variant.activations == Activations::int8 ? 3 : 1);
    case How::tokens:
      return variant.activations != Activations::half && local_size == 8 && small_power(variant.rows, 16) &&
             small_power(variant.vectors, 8);
    case How::tile:
      return variant.activations != Activations::int8 && local_size == 256 && limits.invocations >= 256 &&
             small_power(variant.tiles, 2) && small_power(variant.vectors, 2) &&
             std::size_t{8192} * (variant.tiles + variant.vectors) <= limits.shared_bytes;
  }
  return false;
}

std::string describe(const PackedVariant& variant) {
  switch (variant.kernel) {
    case How::group:
      return fmt::format("group, {} invocations, {} tiles, {} tokens", variant.local_size, variant.tiles,
                         variant.tokens);
    case How::lanes:
      return fmt::format("lanes, {} columns", 256 * variant.chunks);
    case How::tokens:
      return fmt::format("tokens, {} rows, {} vectors", variant.rows, variant.vectors);
    case How::tile:
      return fmt::format("tile, {} rows, {} tokens", 64 * variant.tiles, 64 * variant.vectors);
  }
  return {};
}

PackedVariant packed_variant(const Device& device, const PackedLayout& layout, std::size_t tokens,
                             Activations activations) {
  const auto rule = packed_rule(device, layout, tokens, activations);
  const auto* choice = device.packed_table().ask(packed_case(layout, tokens, rule.activations));
  return choice ? choice->variant : rule;
}

const PackedChoice* PackedTable::ask(const PackedCase& of) {
  ++asked_[of];
  return find(of);
}

const PackedChoice* PackedTable::find(const PackedCase& of) const {
  const auto found = choices_.find(of);
  return found == choices_.end() ? nullptr : &found->second;
}

std::optional<std::filesystem::path> PackedTable::file(const Device& device) {
  const auto directory = cache_directory("tuning");
  if (!directory) return std::nullopt;
  return *directory / fmt::format("{}-{}.json", device.cache_key(), name_of(device.load_path()));
}

void PackedTable::load(const Device& device) {
  choices_.clear();
  replaces_file_ = true;
  const auto path = file(device);
  if (!path || !std::filesystem::exists(*path)) return;
  std::ifstream stream(*path);
  const auto json = Json::parse(stream, nullptr, false);
  replaces_file_ = false;
  require(json.is_object() && json.contains("packed_matmul") && json["packed_matmul"].is_array(),
          "{}: a JSON object with an array 'packed_matmul' was expected", path->string());
  const auto expected = header(device);
  for (const auto& [key, value] : expected.items())
    if (!json.contains(key) || json[key] != value) {  // of another driver, or of shaders that have changed since
      replaces_file_ = true;
      return;
    }
  std::map<PackedCase, PackedChoice> read;
  const auto& entries = json["packed_matmul"];
  for (std::size_t i = 0; i < entries.size(); ++i) {
    try {
      read.insert(from_json(device, entries[i]));
    } catch (const Error& error) {
      fail("{}: entry {} of 'packed_matmul': {}", path->string(), i, error.what());
    }
  }
  choices_ = std::move(read);
  replaces_file_ = true;
}

void PackedTable::save(const Device& device) const {
  const auto path = file(device);
  if (!path || !replaces_file_) return;
  Json json = header(device);
  json["packed_matmul"] = Json::array();
  for (const auto& [of, choice] : choices_) json["packed_matmul"].push_back(to_json(of, choice));
  // Whole or not at all, also where two processes save at once.
  const auto partial = path->string() + fmt::format(".{}", getpid());
  std::error_code error;
  if (std::ofstream(partial) << json.dump(1) << '\n') std::filesystem::rename(partial, *path, error);
  if (error || !std::filesystem::exists(*path)) std::filesystem::remove(partial, error);
}

}  // namespace glassbox::gpu
