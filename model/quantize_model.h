#pragma once

#include <functional>

#include "model/gguf_export.h"

namespace glassbox::model {

/// A model, opened, with the type that each of its tensors gets in the GGUF to be written.
class ModelQuantizer {
 public:
  struct Tensor {
    std::string name;                ///< GGUF's
    StorageType from, wanted, type;  ///< `wanted` is not `type` where the rows are no multiple of its block
    gpu::Shape shape;
  };

  /// `input`: a GGUF, or a Hugging Face directory. Matrices become `type`; norms, biases and all else of one axis stay
  /// float32. The embedding and the output matrix become q6_k where `type` has fewer bits, unless `pure`: their errors
  /// reach every token. A matrix whose rows are no multiple of the block becomes q8_0, or f16 where they are no
  /// multiple of 32 either. Throws Error for what cannot be read or written so.
  ModelQuantizer(const std::filesystem::path& input, StorageType type, bool pure);

  const std::vector<Tensor>& tensors() const { return tensors_; }
  /// A type of fewer bits than f16 that a tensor is read from and not left in: it is rounded a second time.
  std::optional<StorageType> requantized() const;
  std::size_t tensor_bytes() const;  ///< of the output
  std::size_t elements() const;

  using Progress = std::function<void(std::size_t done, std::size_t total)>;
  /// Writes the GGUF, a few rows in memory at a time, on all cores. It appears whole or not at all: not where
  /// `progress` throws. Throws Error where `output` is a file of the input, cannot be written, or where a value does
  /// not fit its type. Once. Returns the size of the file.
  std::size_t write(const std::filesystem::path& output, const Progress& progress = nullptr);

 private:
  bool is_input(const std::filesystem::path& path) const;
  void write_tensor(GgufWriter& writer, const GgufModel::Tensor& tensor, StorageType type,
                    const std::function<void(std::size_t)>& advance);

  std::filesystem::path input_;
  GgufModel model_;
  std::vector<Tensor> tensors_;  // in the order of model_.tensors
};

}  // namespace glassbox::model
