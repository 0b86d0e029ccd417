#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/dtype.h"
#include "model/mapped_file.h"

namespace glassbox::model {

/// How a container stores the numbers of a tensor. The quantised types are GGML's: see model/quants.h.
enum class StorageType : std::uint8_t {
  f32,
  f16,
  bf16,
  q8_0,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
  tq1_0,
  tq2_0,
  mxfp4
};

std::string_view name_of(StorageType type);        ///< "f32", "q4_0", ...
std::size_t elements_per_block(StorageType type);  ///< 1, 32 or 256
std::size_t bytes_per_block(StorageType type);
/// The type that a container spells `name` ("F32", "BF16", "Q8_0"; case does not matter), if it is one of ours.
std::optional<StorageType> find_storage_type(std::string_view name);

/// Bytes that `shape` takes at `block_bytes` for each `block_elements` along the last axis; nullopt where the last axis
/// is no multiple of a block or the size does not fit in 64 bits.
std::optional<std::size_t> checked_size(const gpu::Shape& shape, std::size_t block_elements, std::size_t block_bytes);

/// A tensor where it lies in its file.
struct TensorInfo {
  std::string name;
  StorageType type = StorageType::f32;
  gpu::Shape shape;                  ///< outermost first, row-major: [out, in] for a matrix
  std::span<const std::byte> bytes;  ///< in the mapped file; of no particular alignment
};

/// The tensors of a model by name, whichever container they came in; keeps the mapped files alive.
class Weights {
 public:
  /// `source` is what messages name: the file, or the index of the shards.
  explicit Weights(std::string source) : source_(std::move(source)) {}

  /// The tensor, or nullptr where there is none. Throws Error for one whose stored type is not a StorageType.
  const TensorInfo* find(std::string_view name) const;
  /// The tensor. Throws Error where it is missing, stored in an unsupported type or, given `shape`, of another shape.
  const TensorInfo& at(std::string_view name) const;
  const TensorInfo& at(std::string_view name, const gpu::Shape& shape) const;
  bool contains(std::string_view name) const { return by_name_.contains(name) || unsupported_.contains(name); }

  /// Every tensor of a supported type, in the order of the files.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  /// How many tensors there are, those of unsupported types among them.
  std::size_t size() const { return tensors_.size() + unsupported_.size(); }
  std::size_t total_bytes() const;  ///< of tensors()
  std::size_t file_bytes() const;   ///< of the files, headers and all
  /// The type that most elements of tensors() are stored in; nullopt without tensors.
  std::optional<StorageType> main_type() const;
  const std::string& source() const { return source_; }
  /// Throws Error, as find() does, where there is any tensor whose stored type is not a StorageType.
  void require_supported() const {
    if (!unsupported_.empty()) find(unsupported_.begin()->first);
  }

  /// Lets go of the pages of `tensor` once its values are elsewhere (MappedFile::release).
  void release(const TensorInfo& tensor) const;

  /// For the readers. `type` is the container's name for it; a type that is none of ours is refused when asked for.
  /// Throws Error where the name is taken.
  void add(std::string name, std::string_view type, gpu::Shape shape, std::span<const std::byte> bytes);
  void keep(std::shared_ptr<const MappedFile> file) { files_.push_back(std::move(file)); }

 private:
  std::string source_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
  std::map<std::string, std::string, std::less<>> unsupported_;  // name -> the type it is stored in
};

}  // namespace glassbox::model
