#include "model/weights.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "gpu/error.h"

namespace glassbox::model {
namespace {

struct StorageFormat {
  std::string_view name;
  std::size_t elements, bytes;  // of a block
};
/// In the order of StorageType.
constexpr std::array<StorageFormat, 18> formats{{{"f32", 1, 4},
                                                 {"f16", 1, 2},
                                                 {"bf16", 1, 2},
                                                 {"q8_0", 32, 34},
                                                 {"q4_0", 32, 18},
                                                 {"q4_1", 32, 20},
                                                 {"q5_0", 32, 22},
                                                 {"q5_1", 32, 24},
                                                 {"q2_k", 256, 84},
                                                 {"q3_k", 256, 110},
                                                 {"q4_k", 256, 144},
                                                 {"q5_k", 256, 176},
                                                 {"q6_k", 256, 210},
                                                 {"iq4_nl", 32, 18},
                                                 {"iq4_xs", 256, 136},
                                                 {"tq1_0", 256, 54},
                                                 {"tq2_0", 256, 66},
                                                 {"mxfp4", 32, 17}}};
static_assert(formats.size() == static_cast<std::size_t>(StorageType::mxfp4) + 1);

const StorageFormat& format_of(StorageType type) { return formats.at(static_cast<std::size_t>(type)); }

bool same_letters(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, {}, [](unsigned char c) { return std::tolower(c); }, [](unsigned char c) { return std::tolower(c); });
}

}  // namespace

std::string_view name_of(StorageType type) { return format_of(type).name; }
std::size_t elements_per_block(StorageType type) { return format_of(type).elements; }
std::size_t bytes_per_block(StorageType type) { return format_of(type).bytes; }

std::optional<StorageType> find_storage_type(std::string_view name) {
  const auto found = std::ranges::find_if(formats, [&](const auto& format) { return same_letters(format.name, name); });
  if (found == formats.end()) return std::nullopt;
  return static_cast<StorageType>(found - formats.begin());
}

std::optional<std::size_t> checked_size(const gpu::Shape& shape, std::size_t block_elements, std::size_t block_bytes) {
  std::size_t elements = 1;
  for (const std::size_t axis : shape)
    if (__builtin_mul_overflow(elements, axis, &elements)) return std::nullopt;
  if ((shape.empty() ? 1 : shape.back()) % block_elements != 0) return std::nullopt;
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(elements / block_elements, block_bytes, &bytes)) return std::nullopt;
  return bytes;
}

const TensorInfo* Weights::find(std::string_view name) const {
  if (const auto refused = unsupported_.find(name); refused != unsupported_.end()) {
    std::vector<std::string_view> names;
    for (const auto& format : formats) names.push_back(format.name);
    fail("{}: tensor {} is stored as {}, expected one of {}", source_, in_quotes(name), refused->second,
         fmt::join(names, ", "));
  }
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

const TensorInfo& Weights::at(std::string_view name) const {
  const TensorInfo* tensor = find(name);
  require(tensor != nullptr, "{}: tensor {} is missing", source_, in_quotes(name));
  return *tensor;
}

const TensorInfo& Weights::at(std::string_view name, const gpu::Shape& shape) const {
  const TensorInfo& tensor = at(name);
  require(tensor.shape == shape, "{}: tensor {} has shape {}, expected {}", source_, in_quotes(name), tensor.shape,
          shape);
  return tensor;
}

std::size_t Weights::total_bytes() const {
  std::size_t total = 0;
  for (const auto& tensor : tensors_) total += tensor.bytes.size();
  return total;
}

std::size_t Weights::file_bytes() const {
  std::size_t total = 0;
  for (const auto& file : files_) total += file->bytes().size();
  return total;
}

std::optional<StorageType> Weights::main_type() const {
  if (tensors_.empty()) return std::nullopt;
  std::array<std::size_t, formats.size()> elements{};
  for (const auto& tensor : tensors_)
    elements.at(static_cast<std::size_t>(tensor.type)) += gpu::element_count(tensor.shape);
  return static_cast<StorageType>(std::ranges::max_element(elements) - elements.begin());
}

void Weights::release(const TensorInfo& tensor) const {
  for (const auto& file : files_) file->release(tensor.bytes);
}

void Weights::add(std::string name, std::string_view type, gpu::Shape shape, std::span<const std::byte> bytes) {
  require(!contains(name), "{}: tensor {} appears twice", source_, in_quotes(name));
  if (const auto stored = find_storage_type(type)) {
    by_name_.emplace(name, tensors_.size());
    tensors_.push_back({std::move(name), *stored, std::move(shape), bytes});
  } else {
    unsupported_.emplace(std::move(name), type);
  }
}

}  // namespace glassbox::model
