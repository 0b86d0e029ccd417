#include "model/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <tuple>

#include "gpu/error.h"
#include "model/partial_file.h"
#include "model/quants.h"

namespace glassbox::model {
namespace {

using nlohmann::json;
static_assert(std::endian::native == std::endian::little, "tensors are read where they lie");

constexpr std::size_t longest_header = 100'000'000;  // the format's own limit
constexpr std::size_t highest_rank = 16;

/// Bytes an element, for every dtype whose elements are whole bytes.
constexpr std::array<std::pair<std::string_view, std::size_t>, 17> dtypes{{{"F64", 8},
                                                                           {"F32", 4},
                                                                           {"F16", 2},
                                                                           {"BF16", 2},
                                                                           {"F8_E5M2", 1},
                                                                           {"F8_E4M3", 1},
                                                                           {"F8_E8M0", 1},
                                                                           {"I64", 8},
                                                                           {"I32", 4},
                                                                           {"I16", 2},
                                                                           {"I8", 1},
                                                                           {"U64", 8},
                                                                           {"U32", 4},
                                                                           {"U16", 2},
                                                                           {"U8", 1},
                                                                           {"BOOL", 1},
                                                                           {"C64", 8}}};

std::size_t bytes_of_shape(const std::string& file, const SafetensorsTensor& tensor) {
  const auto dtype = std::ranges::find(dtypes, tensor.dtype, &decltype(dtypes)::value_type::first);
  require(dtype != dtypes.end(), "{}: tensor {} has unknown dtype {}", file, in_quotes(tensor.name),
          in_quotes(tensor.dtype));
  const auto size = checked_size(tensor.shape, 1, dtype->second);
  require(size.has_value(), "{}: tensor {} of shape {} is too large", file, in_quotes(tensor.name), tensor.shape);
  return *size;
}

std::vector<std::size_t> unsigned_list(const json& entry, const char* key, const std::string& file,
                                       const std::string& name) {
  const auto list = entry.find(key);
  const bool ok = list != entry.end() && list->is_array() && list->size() <= highest_rank &&
                  std::ranges::all_of(*list, [](const json& item) { return item.is_number_unsigned(); });
  require(ok, "{}: tensor {} has no {}, or not a list of at most {} non-negative integers", file, in_quotes(name), key,
          highest_rank);
  return list->get<std::vector<std::size_t>>();
}

/// The tensor that the header entry `name` describes. `data` is what follows the header.
SafetensorsTensor parse_tensor(const std::string& file, const std::string& name, const json& entry,
                               std::span<const std::byte> data) {
  require(entry.is_object() && entry.contains("dtype") && entry["dtype"].is_string(),
          "{}: tensor {} has no dtype in the header", file, in_quotes(name));
  SafetensorsTensor tensor{name, entry["dtype"].get<std::string>(), unsigned_list(entry, "shape", file, name), {}};
  const auto offsets = unsigned_list(entry, "data_offsets", file, name);
  require(offsets.size() == 2 && offsets[0] <= offsets[1], "{}: tensor {} has data_offsets {}, expected [begin, end]",
          file, in_quotes(name), offsets);
  require(offsets[1] <= data.size(), "{}: tensor {} ends at byte {}, but the file holds {} bytes of tensors", file,
          in_quotes(name), offsets[1], data.size());
  const std::size_t expected = bytes_of_shape(file, tensor);
  require(offsets[1] - offsets[0] == expected, "{}: tensor {} ({} {}) takes {} bytes, but its data_offsets hold {}",
          file, in_quotes(name), tensor.dtype, tensor.shape, expected, offsets[1] - offsets[0]);
  tensor.bytes = data.subspan(offsets[0], expected);
  return tensor;
}

/// Throws Error unless the tensors, in the order of their bytes, fill `data` without overlap or hole.
void require_gapless(const std::string& file, const std::vector<SafetensorsTensor>& tensors,
                     std::span<const std::byte> data) {
  std::size_t end = 0;
  for (const auto& tensor : tensors) {
    const auto begin = static_cast<std::size_t>(tensor.bytes.data() - data.data());
    require(begin >= end, "{}: tensor {} begins at byte {} and overlaps the one before it, which ends at {}", file,
            in_quotes(tensor.name), begin, end);
    require(begin == end, "{}: there is a hole of {} bytes before tensor {}", file, begin - end,
            in_quotes(tensor.name));
    end = begin + tensor.bytes.size();
  }
  require(end == data.size(), "{}: {} bytes follow the last tensor", file, data.size() - end);
}

template <class T>
std::vector<double> widen(std::span<const std::byte> bytes) {
  std::vector<double> out(bytes.size() / sizeof(T));
  for (std::size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, &bytes[i * sizeof(T)], sizeof(T));
    out[i] = static_cast<double>(value);
  }
  return out;
}

Weights load_shards(const std::filesystem::path& path) {
  const std::string file = path.string();
  const json index = read_json(path);
  const auto map = index.find("weight_map");
  require(map != index.end() && map->is_object(), "{}: has no weight_map", file);

  std::map<std::string, std::map<std::string, bool, std::less<>>> shards;  // shard -> tensor -> seen in it
  for (const auto& [tensor, shard] : map->items()) {
    require(shard.is_string(), "{}: the shard of tensor {} is not a file name", file, in_quotes(tensor));
    const std::filesystem::path name = shard.get<std::string>();
    // A hostile index must not make us read elsewhere. A symbolic link is the user's own: hub caches are made of them.
    require(!name.empty() && name == name.filename() && name != "." && name != "..",
            "{}: tensor {} is in shard {}, expected the name of a file beside the index", file, in_quotes(tensor),
            in_quotes(name.string()));
    shards[name.string()][tensor] = false;
  }

  Weights weights(file);
  for (auto& [name, listed] : shards) {
    const auto shard_path = path.parent_path() / name;
    require(file_exists(shard_path), "{}: shard {} is missing", file, in_quotes(name));
    const auto shard = Safetensors::open(shard_path);
    for (const auto& tensor : shard.tensors())
      if (const auto entry = listed.find(tensor.name); entry != listed.end()) {
        weights.add(tensor.name, tensor.dtype, tensor.shape, tensor.bytes);
        entry->second = true;
      }
    for (const auto& [tensor, seen] : listed)
      require(seen, "{}: tensor {} is not in its shard {}", file, in_quotes(tensor), in_quotes(name));
    weights.keep(shard.file());
  }
  return weights;
}

}  // namespace

Safetensors Safetensors::open(const std::filesystem::path& path) {
  Safetensors result;
  result.file_ = std::make_shared<MappedFile>(path);
  const std::string& file = result.file_->name();
  const auto bytes = result.file_->bytes();
  std::uint64_t header_length = 0;
  require(bytes.size() >= sizeof header_length, "{}: has {} bytes, too few for a safetensors file", file, bytes.size());
  std::memcpy(&header_length, bytes.data(), sizeof header_length);
  require(header_length <= longest_header, "{}: is no safetensors file (a header of {} bytes, at most {} are allowed)",
          file, header_length, longest_header);
  require(header_length <= bytes.size() - sizeof header_length,
          "{}: is truncated (a header of {} bytes in a file of {})", file, header_length, bytes.size());

  const auto data = bytes.subspan(sizeof header_length + header_length);
  const json header = parse_json(result.file_->text().substr(sizeof header_length, header_length), file);
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") {
      result.tensors_.push_back(parse_tensor(file, name, entry, data));
      continue;
    }
    require(entry.is_object() && std::ranges::all_of(entry, [](const json& value) { return value.is_string(); }),
            "{}: __metadata__ is not an object of strings", file);
    result.metadata_ = entry.get<std::map<std::string, std::string>>();
  }

  std::ranges::sort(result.tensors_, {}, [](const SafetensorsTensor& tensor) {
    return std::tuple(tensor.bytes.data(), tensor.bytes.size(), std::string_view(tensor.name));
  });
  require_gapless(file, result.tensors_, data);
  for (std::size_t i = 0; i < result.tensors_.size(); ++i) result.by_name_.emplace(result.tensors_[i].name, i);
  return result;
}

const SafetensorsTensor* Safetensors::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

const SafetensorsTensor& Safetensors::at(std::string_view name) const {
  const SafetensorsTensor* tensor = find(name);
  require(tensor != nullptr, "{}: tensor {} is missing", file_->name(), in_quotes(name));
  return *tensor;
}

std::vector<double> Safetensors::values(std::string_view name) const {
  const SafetensorsTensor& tensor = at(name);
  const std::string_view dtype = tensor.dtype;
  if (dtype == "F32") return gpu::to_float64(tensor.bytes, gpu::DType::f32);
  if (dtype == "F16") return gpu::to_float64(tensor.bytes, gpu::DType::f16);
  if (dtype == "BF16") return gpu::to_float64(tensor.bytes, gpu::DType::bf16);
  if (dtype == "F64") return widen<double>(tensor.bytes);
  if (dtype == "I64") return widen<std::int64_t>(tensor.bytes);
  if (dtype == "I32") return widen<std::int32_t>(tensor.bytes);
  if (dtype == "I16") return widen<std::int16_t>(tensor.bytes);
  if (dtype == "I8") return widen<std::int8_t>(tensor.bytes);
  if (dtype == "U32") return widen<std::uint32_t>(tensor.bytes);
  if (dtype == "U16") return widen<std::uint16_t>(tensor.bytes);
  if (dtype == "U8" || dtype == "BOOL") return widen<std::uint8_t>(tensor.bytes);
  fail("{}: tensor {} is stored as {}, which is not read as numbers", file_->name(), in_quotes(name), dtype);
}

Weights load_safetensors(const std::filesystem::path& path) {
  if (path.extension() == ".json") return load_shards(path);
  const auto file = Safetensors::open(path);
  Weights weights(path.string());
  for (const auto& tensor : file.tensors()) weights.add(tensor.name, tensor.dtype, tensor.shape, tensor.bytes);
  weights.keep(file.file());
  return weights;
}

void save_safetensors(const std::filesystem::path& path, std::span<const SafetensorsTensor> tensors,
                      const std::map<std::string, std::string>& metadata) {
  const std::string file = path.string();
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::size_t end = 0;
  for (const auto& tensor : tensors) {
    const std::size_t expected = bytes_of_shape(file, tensor);
    require(tensor.bytes.size() == expected, "{}: tensor {} ({} {}) takes {} bytes, but {} were given", file,
            in_quotes(tensor.name), tensor.dtype, tensor.shape, expected, tensor.bytes.size());
    require(!header.contains(tensor.name), "{}: tensor {} appears twice", file, in_quotes(tensor.name));
    header[tensor.name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {end, end + expected}}};
    end += expected;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the tensors begin aligned
  const std::uint64_t length = text.size();

  PartialFile partial(path);
  partial.write(std::as_bytes(std::span(&length, 1)));
  partial.write(std::as_bytes(std::span(text)));
  for (const auto& tensor : tensors) partial.write(tensor.bytes);
  partial.give_name();
}

}  // namespace glassbox::model
