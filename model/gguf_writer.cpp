#include "model/gguf_writer.h"

#include <array>

namespace glassbox::model {
namespace {

std::size_t padding(std::size_t size) {
  return (GgufWriter::alignment - size % GgufWriter::alignment) % GgufWriter::alignment;
}

template <class T>
void append(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void append(std::string& to, std::string_view text) {
  append(to, std::uint64_t{text.size()});
  to.append(text);
}

}  // namespace

void GgufWriter::put(std::string_view text) { append(keys_, text); }

void GgufWriter::begin_key(std::string_view key, GgufType type) {
  ++key_count_;
  put(key);
  put(static_cast<std::uint32_t>(type));
}

void GgufWriter::add(std::string_view key, const GgufValue& value) {
  begin_key(key, value.type);
  if (value.type == GgufType::array) put(static_cast<std::uint32_t>(value.element));
  if (value.type == GgufType::array) put(value.count);
  if (value.type == GgufType::string) put(std::uint64_t{value.bytes.size()});
  keys_.append(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
}

void GgufWriter::add_tensor(std::string_view name, StorageType type, const gpu::Shape& shape) {
  const auto bytes = checked_size(shape, elements_per_block(type), bytes_per_block(type));
  require(bytes.has_value(), "tensor {} of shape {} cannot be stored as {}", in_quotes(name), shape, name_of(type));
  tensors_.push_back({std::string(name), type, shape, *bytes});
}

void GgufWriter::begin(const std::filesystem::path& path) {
  std::string header = "GGUF";
  append(header, std::uint32_t{3});
  append(header, std::uint64_t{tensors_.size()});
  append(header, key_count_);
  header += keys_;
  std::uint64_t offset = 0;
  for (const auto& tensor : tensors_) {
    append(header, std::string_view(tensor.name));
    append(header, static_cast<std::uint32_t>(tensor.shape.size()));
    for (auto axis = tensor.shape.rbegin(); axis != tensor.shape.rend(); ++axis) append(header, std::uint64_t{*axis});
    append(header, ggml_type(tensor.type));
    append(header, offset);
    offset += tensor.bytes + padding(tensor.bytes);
  }
  header.append(padding(header.size()), '\0');
  file_ = std::make_unique<PartialFile>(path);
  to_file(std::as_bytes(std::span(header)));
  pad();
}

void GgufWriter::write(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  require(tensor_ < tensors_.size() && bytes.size() <= tensors_[tensor_].bytes - written_,
          "[GgufWriter] {} bytes do not fit what is left of the tensors", bytes.size());
  to_file(bytes);
  written_ += bytes.size();
  pad();
}

void GgufWriter::to_file(std::span<const std::byte> bytes) {
  file_->write(bytes);
  size_ += bytes.size();
}

/// Closes every tensor that is complete; those without elements are from the start.
void GgufWriter::pad() {
  constexpr std::array<std::byte, alignment> zeros{};
  for (; tensor_ < tensors_.size() && written_ == tensors_[tensor_].bytes; ++tensor_, written_ = 0)
    to_file(std::span(zeros).first(padding(written_)));
}

std::size_t GgufWriter::finish() {
  require(tensor_ == tensors_.size(), "[GgufWriter] bytes of {} tensors are missing", tensors_.size() - tensor_);
  file_->give_name();
  return size_;
}

}  // namespace glassbox::model
