#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "gpu/device.h"
#include "gpu/ops/packed_matmul.h"

namespace glassbox::gpu {

/// A packed product as an autotuner tells it from others.
struct PackedCase {
  PackedFormat format = PackedFormat::f32;
  std::size_t rows = 0, columns = 0;           ///< of w, or of its first panel
  std::size_t tokens = 1;                      ///< rows of x, rounded up to a power of two
  Activations activations = Activations::f32;  ///< a choice of the caller's, kept by all variants
  auto operator<=>(const PackedCase&) const = default;
  PackedLayout layout() const { return {format, rows, columns}; }
};
PackedCase packed_case(const PackedLayout& layout, std::size_t tokens, Activations activations = Activations::f32);

/// What was picked for a case, and the median microseconds that it and packed_rule's variant took.
struct PackedChoice {
  PackedVariant variant;
  double us = 0, rule_us = 0;
};

/// Whether the shaders are valid in this form for `tokens` rows of x, within these limits.
bool packed_fits(const Limits& limits, const PackedVariant& variant, std::size_t tokens);

/// "group, 128 invocations, 2 tiles": what of a variant its kernel heeds.
std::string describe(const PackedVariant& variant);

/// The variants picked on a device by measurement, and the cases that were asked for since it was opened. Kept between
/// runs in a file that a person may read and change.
class PackedTable {
 public:
  /// What packed_variant() asks; counts the question. Null where nothing was picked.
  const PackedChoice* ask(const PackedCase& of);
  const PackedChoice* find(const PackedCase& of) const;
  void set(const PackedCase& of, const PackedChoice& choice) { choices_.insert_or_assign(of, choice); }
  void clear() { choices_.clear(); }

  const std::map<PackedCase, PackedChoice>& choices() const { return choices_; }
  const std::map<PackedCase, std::size_t>& asked() const { return asked_; }  ///< how often

  /// The file of this device, its driver, limits, lanes and load path: tuning/*.json in the cache directory. Nothing
  /// where there is none.
  static std::optional<std::filesystem::path> file(const Device& device);
  /// Replaces the choices by those of the file. There are none where it does not exist, or where it was made with
  /// another driver or other shaders. Throws Error, naming the file, where it is no such table or an entry is not valid
  /// on this device; then there are no choices, and save() leaves the file to whoever wrote it.
  void load(const Device& device);
  /// Best effort, as with all caches.
  void save(const Device& device) const;

 private:
  bool replaces_file_ = true;
  std::map<PackedCase, PackedChoice> choices_;
  std::map<PackedCase, std::size_t> asked_;
};

}  // namespace glassbox::gpu
