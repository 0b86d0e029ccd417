#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/dtype.h"
#include "model/mapped_file.h"
#include "model/weights.h"

namespace glassbox::model {

/// A tensor of a safetensors file, of any dtype the format knows.
struct SafetensorsTensor {
  std::string name;
  std::string dtype;                 ///< as the format spells it: "F32", "BF16", "I64", ...
  gpu::Shape shape;                  ///< outermost first, row-major
  std::span<const std::byte> bytes;  ///< little-endian, of no particular alignment
};

/// A safetensors file: eight bytes of header length, a JSON header, and the tensors' bytes without overlap or hole
/// (github.com/huggingface/safetensors, "Format").
class Safetensors {
 public:
  /// Throws Error naming the file, and the tensor, for anything the format forbids.
  static Safetensors open(const std::filesystem::path& path);

  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }  ///< in the order of their bytes
  const SafetensorsTensor* find(std::string_view name) const;                 ///< nullptr where there is none
  const SafetensorsTensor& at(std::string_view name) const;                   ///< throws Error where there is none
  /// The values of a tensor as float64: F64, F32, F16, BF16, I64, I32, I16, I8, U32, U16, U8 and BOOL.
  std::vector<double> values(std::string_view name) const;
  /// The header's __metadata__.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::shared_ptr<const MappedFile>& file() const { return file_; }

 private:
  std::shared_ptr<const MappedFile> file_;
  std::vector<SafetensorsTensor> tensors_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
  std::map<std::string, std::string> metadata_;
};

/// The weights in one .safetensors file or, where `path` ends in .json, in the shards beside that index. An index names
/// its shards by bare file names; each tensor it lists must be in its shard, and those it does not list are left out.
Weights load_safetensors(const std::filesystem::path& path);

/// Writes `tensors` in their order, and `metadata` in the header. The file appears whole or not at all: it is written
/// under another name in the same folder and then renamed. Throws Error naming `path` where the folder cannot be
/// written or the disk is full, and naming the tensor whose bytes do not match its shape and dtype.
void save_safetensors(const std::filesystem::path& path, std::span<const SafetensorsTensor> tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace glassbox::model
