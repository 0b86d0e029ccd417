#include "model/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

namespace glassbox::model {
namespace {

static_assert(std::endian::native == std::endian::little, "values are read where they lie");

constexpr std::array<std::string_view, 13> type_names{"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                      "bool", "string", "array", "u64", "i64", "f64"};
/// Bytes of a value by type; 0 where that depends on the value.
constexpr std::array<std::size_t, 13> type_bytes{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
std::size_t index_of(GgufType type) { return static_cast<std::size_t>(type); }
constexpr int deepest_array = 4;
constexpr std::uint32_t most_dimensions = 4;  // GGML_MAX_DIMS
constexpr std::size_t shortest_name = 1, longest_name = 1024;

/// Blocks of the GGML tensor types (ggml.c, type_traits). Types without a StorageType are here for their size: a file
/// that has some opens, and only asking for such a tensor fails.
struct TensorType {
  std::uint32_t id;
  std::string_view name;
  std::size_t elements, bytes;
};
constexpr std::array<TensorType, 32> tensor_types{{
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
    {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},      {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},
    {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},   {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},
}};

std::size_t align_up(std::size_t offset, std::size_t alignment) { return (offset + alignment - 1) & ~(alignment - 1); }

/// Reads a file front to back; whatever is asked for is checked to be there.
class Cursor {
 public:
  explicit Cursor(const MappedFile& file) : file_(file) {}

  std::size_t offset() const { return offset_; }
  std::size_t remaining() const { return file_.bytes().size() - offset_; }

  std::span<const std::byte> take(std::uint64_t count, std::string_view what) {
    require(count <= remaining(), "{}: is truncated: {} takes {} bytes, {} are left", file_.name(), what, count,
            remaining());
    const auto taken = file_.bytes().subspan(offset_, count);
    offset_ += count;
    return taken;
  }
  template <class T>
  T number(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }
  std::string_view string(std::string_view what) {
    const auto bytes = take(number<std::uint64_t>(what), what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  GgufType type(std::string_view what) {
    const auto type = number<std::uint32_t>(what);
    require(type < type_names.size(), "{}: {} has unknown metadata type {}", file_.name(), what, type);
    return static_cast<GgufType>(type);
  }

  GgufValue value(GgufType type, std::string_view what, int depth = 0) {
    if (type == GgufType::string) {
      const auto text = string(what);
      return {type, type, 1, std::as_bytes(std::span(text))};
    }
    if (type != GgufType::array) return {type, type, 1, take(type_bytes[index_of(type)], what)};

    require(depth < deepest_array, "{}: {} has arrays nested deeper than {}", file_.name(), what, deepest_array);
    const GgufType element = this->type(what);
    const auto count = number<std::uint64_t>(what);
    const std::size_t begin = offset_;
    if (const std::size_t each = type_bytes[index_of(element)]; each > 0) {
      require(count <= remaining() / each, "{}: is truncated: {} has {} elements, {} bytes are left", file_.name(),
              what, count, remaining());
      take(count * each, what);
    } else {
      for (std::uint64_t i = 0; i < count; ++i) value(element, what, depth + 1);
    }
    return {type, element, count, file_.bytes().subspan(begin, offset_ - begin)};
  }

 private:
  const MappedFile& file_;
  std::size_t offset_ = 0;
};

/// The number of type `type` at `from` as a To; nullopt where it is not a number or To cannot hold it.
template <class To>
std::optional<To> convert(GgufType type, const std::byte* from) {
  const auto as = [from]<class From>(From number) -> std::optional<To> {
    std::memcpy(&number, from, sizeof(From));
    if constexpr (std::is_floating_point_v<To>)
      return static_cast<To>(number);
    else if constexpr (std::is_floating_point_v<From>)
      return std::nullopt;
    else
      return std::in_range<To>(number) ? std::optional(static_cast<To>(number)) : std::nullopt;
  };
  switch (type) {
    case GgufType::u8:
      return as(std::uint8_t{});
    case GgufType::i8:
      return as(std::int8_t{});
    case GgufType::u16:
      return as(std::uint16_t{});
    case GgufType::i16:
      return as(std::int16_t{});
    case GgufType::u32:
      return as(std::uint32_t{});
    case GgufType::i32:
      return as(std::int32_t{});
    case GgufType::u64:
      return as(std::uint64_t{});
    case GgufType::i64:
      return as(std::int64_t{});
    case GgufType::f32:
      return as(float{});
    case GgufType::f64:
      return as(double{});
    case GgufType::boolean:
    case GgufType::string:
    case GgufType::array:
      return std::nullopt;
  }
  return std::nullopt;
}

/// A value as a message tells it: "string", "array of 3 i32", "i32 -1".
std::string describe(const GgufValue& value) {
  const auto name = type_names[index_of(value.type)];
  if (value.type == GgufType::array)
    return fmt::format("{} of {} {}", name, value.count, type_names[index_of(value.element)]);
  if (const auto number = convert<double>(value.type, value.bytes.data())) return fmt::format("{} {}", name, *number);
  return std::string(name);
}

std::optional<std::vector<std::string>> strings(const GgufValue& value) {
  if (value.type != GgufType::array || value.element != GgufType::string) return std::nullopt;
  std::vector<std::string> out;  // grows with what is there: the walk at open() has seen every length
  for (auto rest = value.bytes; !rest.empty();) {
    std::uint64_t length = 0;
    std::memcpy(&length, rest.data(), sizeof length);
    out.emplace_back(reinterpret_cast<const char*>(rest.data()) + sizeof length, length);
    rest = rest.subspan(sizeof length + length);
  }
  return out;
}

template <class T>
std::optional<std::vector<T>> numbers(const GgufValue& value) {
  if (value.type != GgufType::array) return std::nullopt;
  const std::size_t each = type_bytes[index_of(value.element)];
  if (each == 0) return std::nullopt;
  std::vector<T> out;
  out.reserve(value.count);  // at most as many as the file has bytes
  for (std::size_t i = 0; i < value.count; ++i) {
    const auto number = convert<T>(value.element, &value.bytes[i * each]);
    if (!number) return std::nullopt;
    out.push_back(*number);
  }
  return out;
}

struct TensorHeader {
  std::string name;
  const TensorType* type;
  gpu::Shape shape;
  std::uint64_t offset;  // in the tensor data
  std::size_t size;
};

TensorHeader read_tensor_header(Cursor& cursor, const std::string& file, std::size_t alignment) {
  const auto stored_name = cursor.string("a tensor's name");
  require(stored_name.size() >= shortest_name && stored_name.size() <= longest_name,
          "{}: a tensor's name has {} bytes, expected {} to {}", file, stored_name.size(), shortest_name, longest_name);
  const std::string what = "tensor " + in_quotes(stored_name);
  TensorHeader header{hugging_face_name(stored_name), nullptr, {}, 0, 0};
  const auto rank = cursor.number<std::uint32_t>(what);
  require(rank <= most_dimensions, "{}: {} has {} dimensions, at most {} are allowed", file, what, rank,
          most_dimensions);
  for (std::uint32_t d = 0; d < rank; ++d) header.shape.push_back(cursor.number<std::uint64_t>(what));
  std::ranges::reverse(header.shape);  // the file has the innermost first

  const auto id = cursor.number<std::uint32_t>(what);
  header.type = std::ranges::find(tensor_types, id, &TensorType::id);
  require(header.type != tensor_types.end(), "{}: {} has unknown type {}", file, what, id);
  const auto size = checked_size(header.shape, header.type->elements, header.type->bytes);
  require(size.has_value(), "{}: {} of type {} has impossible shape {}", file, what, header.type->name, header.shape);
  header.size = *size;
  header.offset = cursor.number<std::uint64_t>(what);
  require(header.offset % alignment == 0, "{}: {} is at offset {}, expected a multiple of {}", file, what,
          header.offset, alignment);
  return header;
}

/// Throws Error unless the tensors lie in `size` bytes of data one after the other, each padded to the alignment.
void require_gapless(const std::string& file, const std::vector<TensorHeader>& headers, std::size_t size,
                     std::size_t alignment) {
  std::vector<const TensorHeader*> order;
  for (const auto& header : headers) order.push_back(&header);
  std::ranges::sort(order, {}, [](const TensorHeader* header) { return std::tuple(header->offset, header->size); });
  std::size_t end = 0;
  for (const TensorHeader* header : order) {
    const std::string name = in_quotes(header->name);
    require(header->offset <= size && header->size <= size - header->offset,
            "{}: tensor {} ({} bytes at {}) reaches beyond the file's {} bytes of tensors", file, name, header->size,
            header->offset, size);
    require(header->offset >= end, "{}: tensor {} begins at byte {} and overlaps the one before it, which ends at {}",
            file, name, header->offset, end);
    require(header->offset == align_up(end, alignment), "{}: there is a hole of {} bytes before tensor {}", file,
            header->offset - end, name);
    end = header->offset + header->size;
  }
  require(size <= align_up(end, alignment), "{}: {} bytes follow the last tensor", file, size - end);
}

}  // namespace

Gguf Gguf::open(const std::filesystem::path& path) {
  Gguf result(std::make_shared<MappedFile>(path));
  const MappedFile& mapped = *result.file_;
  const std::string& file = mapped.name();
  require(mapped.text().starts_with("GGUF"), "{}: is no GGUF file: it does not begin with GGUF", file);

  Cursor cursor(mapped);
  cursor.take(4, "the magic");
  result.version_ = cursor.number<std::uint32_t>("the version");
  require(result.version_ == 0 || (result.version_ & 0xFFFF) != 0,
          "{}: is a big-endian GGUF file, expected little-endian", file);
  require(result.version_ == 2 || result.version_ == 3, "{}: is GGUF version {}, expected 2 or 3", file,
          result.version_);
  const auto tensor_count = cursor.number<std::uint64_t>("the tensor count");
  const auto key_count = cursor.number<std::uint64_t>("the key count");

  for (std::uint64_t i = 0; i < key_count; ++i) {
    const auto key = cursor.string("a key");
    const std::string what = "key " + in_quotes(key);
    const auto value = cursor.value(cursor.type(what), what);
    require(result.metadata_.emplace(key, value).second, "{}: {} appears twice", file, what);
  }
  const auto alignment = result.find<std::uint64_t>("general.alignment").value_or(32);
  require(std::has_single_bit(alignment) && alignment <= 1U << 30,
          "{}: general.alignment is {}, expected a power of two", file, alignment);

  std::vector<TensorHeader> headers;
  for (std::uint64_t i = 0; i < tensor_count; ++i) headers.push_back(read_tensor_header(cursor, file, alignment));
  // The padding after the header may be missing where no tensor follows.
  const std::size_t begin = std::min(align_up(cursor.offset(), alignment), mapped.bytes().size());
  const auto data = mapped.bytes().subspan(begin);
  require_gapless(file, headers, data.size(), alignment);
  for (auto& header : headers)
    result.weights_.add(std::move(header.name), header.type->name, std::move(header.shape),
                        data.subspan(header.offset, header.size));
  result.weights_.keep(result.file_);
  return result;
}

template <class T>
std::optional<T> Gguf::find(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) return std::nullopt;
  const GgufValue& value = found->second;
  std::optional<T> result;
  std::string_view expected;
  if constexpr (std::is_same_v<T, std::uint64_t>) {
    result = convert<T>(value.type, value.bytes.data());
    expected = "a non-negative integer";
  } else if constexpr (std::is_same_v<T, double>) {
    result = convert<T>(value.type, value.bytes.data());
    expected = "a number";
  } else if constexpr (std::is_same_v<T, bool>) {
    if (value.type == GgufType::boolean && value.bytes[0] <= std::byte{1}) result = value.bytes[0] == std::byte{1};
    expected = "a bool of 0 or 1";
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (value.type == GgufType::string)
      result.emplace(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
    expected = "a string";
  } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    result = strings(value);
    expected = "an array of strings";
  } else {
    result = numbers<typename T::value_type>(value);
    expected = std::is_same_v<T, std::vector<float>> ? "an array of numbers" : "an array of 32-bit integers";
  }
  require(result.has_value(), "{}: key {} is {}, expected {}", name(), in_quotes(key), describe(value), expected);
  return result;
}

template std::optional<std::uint64_t> Gguf::find(std::string_view) const;
template std::optional<double> Gguf::find(std::string_view) const;
template std::optional<bool> Gguf::find(std::string_view) const;
template std::optional<std::string> Gguf::find(std::string_view) const;
template std::optional<std::vector<std::string>> Gguf::find(std::string_view) const;
template std::optional<std::vector<float>> Gguf::find(std::string_view) const;
template std::optional<std::vector<std::int32_t>> Gguf::find(std::string_view) const;

void Gguf::require_model() const {
  require(weights_.size() > 0, "{}: holds a vocabulary and no tensors, expected a model", name());
  const auto parts = find<std::uint64_t>("split.count").value_or(1);
  require(parts <= 1, "{}: is one of {} parts of a split model, expected a model in one file", name(), parts);
}

std::optional<Vocabulary> Gguf::vocabulary() const {
  auto pieces = find<std::vector<std::string>>("tokenizer.ggml.tokens");
  if (!pieces) return std::nullopt;
  Vocabulary vocabulary{.model = at<std::string>("tokenizer.ggml.model"), .pieces = *std::move(pieces)};
  const std::size_t size = vocabulary.pieces.size();
  vocabulary.scores = find<std::vector<float>>("tokenizer.ggml.scores").value_or(std::vector<float>{});
  const auto types = find<std::vector<std::int32_t>>("tokenizer.ggml.token_type").value_or(std::vector<std::int32_t>{});
  for (const auto& [count, key] : {std::pair(vocabulary.scores.size(), "scores"), {types.size(), "token_type"}})
    require(count == 0 || count == size, "{}: tokenizer.ggml.{} has {} elements for {} tokens", name(), key, count,
            size);
  for (std::size_t id = 0; id < types.size(); ++id) {
    require(types[id] >= 1 && types[id] <= 6, "{}: token {} has unknown type {}", name(), id, types[id]);
    vocabulary.types.push_back(static_cast<PieceType>(types[id]));
  }
  const auto id = [&](std::string_view token) -> std::optional<std::uint32_t> {
    const auto key = fmt::format("tokenizer.ggml.{}_token_id", token);
    const auto value = find<std::uint64_t>(key);
    if (!value) return std::nullopt;
    require(*value < size, "{}: {} is {}, but there are {} tokens", name(), key, *value, size);
    return static_cast<std::uint32_t>(*value);
  };
  vocabulary.bos = id("bos");
  vocabulary.eos = id("eos");
  vocabulary.eot = id("eot");
  vocabulary.unknown = id("unknown");
  vocabulary.padding = id("padding");
  const bool sentencepiece = vocabulary.model == "llama";  // whose defaults differ from byte-level BPE's
  vocabulary.add_bos = find<bool>("tokenizer.ggml.add_bos_token").value_or(sentencepiece);
  vocabulary.add_eos = find<bool>("tokenizer.ggml.add_eos_token").value_or(false);
  vocabulary.add_space_prefix = find<bool>("tokenizer.ggml.add_space_prefix").value_or(sentencepiece);
  return vocabulary;
}

std::uint32_t ggml_type(StorageType type) {
  const auto found =
      std::ranges::find_if(tensor_types, [&](const auto& known) { return find_storage_type(known.name) == type; });
  require(found != tensor_types.end(), "{} has no GGML type", name_of(type));
  return found->id;
}

}  // namespace glassbox::model
