#pragma once

#include <filesystem>
#include <vector>

#include "model/gguf_writer.h"
#include "model/weights.h"

namespace glassbox::model {

/// A model as a GGUF holds it, before its tensors are written: the metadata, and where each tensor's values come from.
struct GgufModel {
  struct Tensor {
    std::string name;  ///< GGUF's
    const TensorInfo* source;
    /// Not 0: the rows of each of so many heads go from half-split to interleaved order, in which row 2i + p is row
    /// p·d/2 + i of d before (gpu::RopePairing): Q and K of the Llama architecture.
    std::size_t interleaved_heads = 0;
  };
  GgufWriter writer;  ///< has the metadata, but general.file_type and general.quantization_version, and no tensors
  Weights weights;    ///< what the sources point into
  std::vector<Tensor> tensors;
  std::vector<float> rope_divisors;  ///< the values of rope_freqs.weight, where it is not in a file
};

/// Reads a GGUF of any architecture or a Hugging Face directory of the Llama family. Of a GGUF every key is kept but
/// those that describe its quantisation, alignment and parts. A directory's config.json, tokenizer.model and chat
/// template become the keys that llama.cpp reads; ids beyond the tokenizer's get pieces "[PAD7]" that no text contains,
/// and a model without tokenizer.model a vocabulary of type "no_vocab". Llama 3's RoPE scaling becomes the tensor
/// rope_freqs.weight. Throws Error for whatever the readers refuse, and for tensors that GGUF has no name for.
GgufModel open_as_gguf(const std::filesystem::path& path);

}  // namespace glassbox::model
