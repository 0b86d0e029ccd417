#include "model/quantize_model.h"

#include <algorithm>
#include <array>
#include <future>
#include <numeric>
#include <thread>

#include "gpu/error.h"
#include "model/quantize.h"
#include "model/quants.h"

namespace glassbox::model {
namespace {

constexpr std::size_t piece_elements = std::size_t{1} << 20;  // of a thread at a time

/// LLAMA_FTYPE_* of llama.h; the k-quants are those of one type throughout ("S").
std::uint32_t file_type(StorageType type) {
  constexpr std::array<std::pair<StorageType, std::uint32_t>, 11> numbers{{{StorageType::f32, 0},
                                                                           {StorageType::f16, 1},
                                                                           {StorageType::q4_0, 2},
                                                                           {StorageType::q4_1, 3},
                                                                           {StorageType::q8_0, 7},
                                                                           {StorageType::q5_0, 8},
                                                                           {StorageType::q5_1, 9},
                                                                           {StorageType::q4_k, 14},
                                                                           {StorageType::q5_k, 16},
                                                                           {StorageType::q6_k, 18},
                                                                           {StorageType::bf16, 32}}};
  const auto found = std::ranges::find(numbers, type, &decltype(numbers)::value_type::first);
  require(found != numbers.end(), "{} is only read, not written", name_of(type));
  return found->second;
}

double bits(StorageType type) {
  return 8.0 * static_cast<double>(bytes_per_block(type)) / static_cast<double>(elements_per_block(type));
}

/// What the tensor should have, whatever its rows.
StorageType wanted_type(const GgufModel::Tensor& tensor, StorageType type, bool pure) {
  if (tensor.source->shape.size() < 2 || !tensor.name.ends_with(".weight")) return StorageType::f32;
  const bool ends = tensor.name == "token_embd.weight" || tensor.name == "output.weight";
  return ends && !pure && bits(type) < bits(StorageType::q6_k) ? StorageType::q6_k : type;
}

StorageType fitting_type(StorageType type, std::size_t row) {
  for (const auto candidate : {type, StorageType::q8_0})
    if (row % elements_per_block(candidate) == 0) return candidate;
  return StorageType::f16;
}

/// A tensor as rows that are converted one by one.
struct Rows {
  std::size_t elements, count;
};
Rows rows_of(const GgufModel::Tensor& tensor) {
  const auto& shape = tensor.source->shape;
  const std::size_t total = gpu::element_count(shape);
  // A bias is a column to be reordered, or one row.
  const std::size_t elements = shape.size() >= 2 ? shape.back() : tensor.interleaved_heads ? 1 : total;
  return {elements, elements == 0 ? 0 : total / elements};
}

/// `count` rows from row `first`; `file` is for messages.
std::vector<std::byte> converted(const GgufModel::Tensor& tensor, StorageType type, Rows rows, std::size_t first,
                                 std::size_t count, const std::string& file) {
  const TensorInfo& source = *tensor.source;
  const std::size_t row_bytes = rows.elements / elements_per_block(source.type) * bytes_per_block(source.type);
  const std::size_t head = tensor.interleaved_heads ? rows.count / tensor.interleaved_heads : 1;
  std::vector<float> values(rows.elements * count);
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t row = first + i;
    if (tensor.interleaved_heads) row = row / head * head + row % 2 * (head / 2) + row % head / 2;
    dequantize(source.type, source.bytes.subspan(row * row_bytes, row_bytes),
               std::span(values).subspan(i * rows.elements, rows.elements));
  }
  try {
    return quantize(type, values);
  } catch (const Error& error) {
    fail("{}: tensor {}: {}", file, in_quotes(source.name), error.what());
  }
}

}  // namespace

ModelQuantizer::ModelQuantizer(const std::filesystem::path& input, StorageType type, bool pure)
    : input_(input), model_(open_as_gguf(input)) {
  model_.writer.add("general.file_type", file_type(type));
  model_.writer.add("general.quantization_version", std::uint32_t{2});  // GGML_QNT_VERSION
  for (const auto& tensor : model_.tensors) {
    const auto& shape = tensor.source->shape;
    const auto wanted = wanted_type(tensor, type, pure);
    const auto fitting = shape.empty() ? wanted : fitting_type(wanted, shape.back());
    tensors_.push_back({tensor.name, tensor.source->type, wanted, fitting, shape});
    model_.writer.add_tensor(tensor.name, fitting, shape);
  }
}

std::optional<StorageType> ModelQuantizer::requantized() const {
  const auto found = std::ranges::find_if(
      tensors_, [](const Tensor& tensor) { return elements_per_block(tensor.from) > 1 && tensor.type != tensor.from; });
  return found == tensors_.end() ? std::nullopt : std::optional(found->from);
}

std::size_t ModelQuantizer::elements() const {
  return std::accumulate(tensors_.begin(), tensors_.end(), std::size_t{0},
                         [](std::size_t sum, const Tensor& t) { return sum + gpu::element_count(t.shape); });
}

std::size_t ModelQuantizer::tensor_bytes() const {
  return std::accumulate(tensors_.begin(), tensors_.end(), std::size_t{0}, [](std::size_t sum, const Tensor& t) {
    return sum + *checked_size(t.shape, elements_per_block(t.type), bytes_per_block(t.type));
  });
}

bool ModelQuantizer::is_input(const std::filesystem::path& path) const {
  namespace fs = std::filesystem;
  std::error_code ignored;  // a path that does not exist is none of the input's files
  if (fs::equivalent(input_, path, ignored)) return true;
  return std::ranges::any_of(fs::directory_iterator(input_, ignored), [&](const fs::directory_entry& entry) {
    return entry.path().extension() == ".safetensors" && fs::equivalent(entry.path(), path, ignored);
  });
}

std::size_t ModelQuantizer::write(const std::filesystem::path& output, const Progress& progress) {
  require(!is_input(output), "{}: is the input, expected another name for the output", output.string());
  const std::size_t total = elements();
  std::size_t done = 0;
  GgufWriter writer = std::move(model_.writer);  // what it has begun goes with it
  writer.begin(output);
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    write_tensor(writer, model_.tensors[i], tensors_[i].type, [&](std::size_t elements) {
      done += elements;
      if (progress) progress(done, total);
    });
    model_.weights.release(*model_.tensors[i].source);
  }
  return writer.finish();
}

void ModelQuantizer::write_tensor(GgufWriter& writer, const GgufModel::Tensor& tensor, StorageType type,
                                  const std::function<void(std::size_t)>& advance) {
  if (tensor.source->type == type && tensor.interleaved_heads == 0) {
    writer.write(tensor.source->bytes);
    return advance(gpu::element_count(tensor.source->shape));
  }
  const Rows rows = rows_of(tensor);
  const std::size_t step = std::max<std::size_t>(piece_elements / std::max<std::size_t>(rows.elements, 1), 1);
  const std::size_t threads = std::max(std::thread::hardware_concurrency(), 1U);
  for (std::size_t first = 0; first < rows.count;) {
    std::vector<std::future<std::vector<std::byte>>> pieces;
    const std::size_t begin = first;
    for (; pieces.size() < threads && first < rows.count; first += std::min(step, rows.count - first))
      pieces.push_back(std::async(std::launch::async, converted, tensor, type, rows, first,
                                  std::min(step, rows.count - first), model_.weights.source()));
    for (auto& piece : pieces) writer.write(piece.get());
    advance((first - begin) * rows.elements);
  }
}

}  // namespace glassbox::model
