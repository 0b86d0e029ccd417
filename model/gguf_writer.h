#pragma once

#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf.h"
#include "model/partial_file.h"

namespace glassbox::model {

/// Writes a GGUF file of version 3: first everything is added, then begin() writes the header, then the tensors' bytes
/// follow in the order in which the tensors were added. The file appears whole or not at all (PartialFile).
class GgufWriter {
 public:
  static constexpr std::size_t alignment = 32;

  /// A metadata value: bool, std::uint32_t, float, text, or a vector of std::string, float or std::int32_t.
  template <class T>
  void add(std::string_view key, const T& value) {
    if constexpr (std::convertible_to<const T&, std::string_view>) {
      begin_key(key, GgufType::string);
      put(std::string_view(value));
    } else if constexpr (requires { value.begin(); }) {
      begin_key(key, GgufType::array);
      put(static_cast<std::uint32_t>(type_of<typename T::value_type>()));
      put(std::uint64_t{value.size()});
      for (const auto& element : value) put(element);
    } else {
      begin_key(key, type_of<T>());
      put(value);
    }
  }
  /// A value as another file has it.
  void add(std::string_view key, const GgufValue& value);
  /// Throws Error where the last axis is no multiple of the type's block.
  void add_tensor(std::string_view name, StorageType type, const gpu::Shape& shape);

  void begin(const std::filesystem::path& path);
  /// The next bytes of the tensors: any number at a time, but never beyond the end of a tensor.
  void write(std::span<const std::byte> bytes);
  /// Throws Error where bytes are missing. Returns the size of the file.
  std::size_t finish();

 private:
  template <class T>
  static constexpr GgufType type_of() {
    if constexpr (std::same_as<T, bool>) return GgufType::boolean;
    if constexpr (std::same_as<T, std::uint32_t>) return GgufType::u32;
    if constexpr (std::same_as<T, std::int32_t>) return GgufType::i32;
    if constexpr (std::same_as<T, float>) return GgufType::f32;
    if constexpr (std::same_as<T, std::string>) return GgufType::string;
  }
  template <class T>
  requires std::is_arithmetic_v<T>
  void put(T value) { keys_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void put(std::string_view text);
  void begin_key(std::string_view key, GgufType type);
  void pad();
  void to_file(std::span<const std::byte> bytes);

  struct Tensor {
    std::string name;
    StorageType type;
    gpu::Shape shape;
    std::size_t bytes;
  };
  std::string keys_;
  std::uint64_t key_count_ = 0;
  std::vector<Tensor> tensors_;
  std::unique_ptr<PartialFile> file_;
  std::size_t tensor_ = 0, written_ = 0;  // which tensor's bytes come next, and how many of them are there
  std::size_t size_ = 0;
};

}  // namespace glassbox::model
