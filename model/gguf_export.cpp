#include "model/gguf_export.h"

#include <algorithm>
#include <array>

#include "gpu/error.h"
#include "model/llama.h"
#include "model/model_files.h"
#include "model/sentencepiece_proto.h"

namespace glassbox::model {
namespace {

GgufModel from_gguf(const std::filesystem::path& path) {
  const auto gguf = Gguf::open(path);
  gguf.require_model();
  GgufModel model{.writer = {}, .weights = gguf.weights(), .tensors = {}, .rope_divisors = {}};
  for (const auto& [key, value] : gguf.metadata())
    if (key != "general.file_type" && key != "general.quantization_version" && key != "general.alignment" &&
        !key.starts_with("split.") && !key.starts_with("quantize."))
      model.writer.add(key, value);
  model.weights.require_supported();
  for (const auto& tensor : model.weights.tensors()) model.tensors.push_back({gguf_name(tensor.name), &tensor});
  return model;
}

void add_config(const ModelFiles& files, GgufWriter& writer) {
  const ModelConfig& config = files.config;
  const auto number = [&](std::string_view key, std::size_t value) {
    writer.add(fmt::format("llama.{}", key), static_cast<std::uint32_t>(value));
  };
  writer.add("general.architecture", "llama");
  writer.add("general.type", "model");
  writer.add("general.name", files.name);
  number("vocab_size", config.vocab_size);
  number("context_length", config.max_position_embeddings);
  number("embedding_length", config.hidden_size);
  number("block_count", config.num_hidden_layers);
  number("feed_forward_length", config.intermediate_size);
  number("attention.head_count", config.num_attention_heads);
  number("attention.head_count_kv", config.num_key_value_heads);
  number("attention.key_length", config.head_dim);
  number("attention.value_length", config.head_dim);
  number("rope.dimension_count", config.head_dim);
  writer.add("llama.rope.freq_base", static_cast<float>(config.rope_theta));
  writer.add("llama.attention.layer_norm_rms_epsilon", static_cast<float>(config.rms_norm_eps));
  if (config.rope_scaling.type == RopeScaling::Type::linear) {
    writer.add("llama.rope.scaling.type", "linear");
    writer.add("llama.rope.scaling.factor", static_cast<float>(config.rope_scaling.factor));
  }
}

void add_vocabulary(const ModelFiles& files, GgufWriter& writer) {
  if (!files.tokenizer_path) return writer.add("tokenizer.ggml.model", "no_vocab");
  const ModelConfig& config = files.config;
  const std::string source = files.tokenizer_path->string();
  auto tokenizer = parse_sentencepiece(MappedFile(*files.tokenizer_path).text(), source);
  Vocabulary& vocabulary = tokenizer.vocabulary;
  require(vocabulary.pieces.size() <= config.vocab_size,
          "{}: the tokenizer has {} pieces, the model a vocabulary of {}", source, vocabulary.pieces.size(),
          config.vocab_size);
  while (vocabulary.pieces.size() < config.vocab_size) {
    vocabulary.pieces.push_back(fmt::format("[PAD{}]", vocabulary.pieces.size()));
    vocabulary.scores.push_back(-1000);
    vocabulary.types.push_back(PieceType::unused);
  }
  std::vector<std::int32_t> types;
  for (const auto type : vocabulary.types) types.push_back(static_cast<std::int32_t>(type));
  writer.add("tokenizer.ggml.model", "llama");
  writer.add("tokenizer.ggml.pre", "default");
  writer.add("tokenizer.ggml.tokens", vocabulary.pieces);
  writer.add("tokenizer.ggml.scores", vocabulary.scores);
  writer.add("tokenizer.ggml.token_type", types);

  const auto id = [&](std::string_view name, std::optional<std::uint32_t> value) {
    if (value) writer.add(fmt::format("tokenizer.ggml.{}_token_id", name), *value);
  };
  id("bos", config.bos_token_id ? config.bos_token_id : vocabulary.bos);
  id("unknown", vocabulary.unknown);
  // The tokenizer's own end first; GGUF has keys for three.
  auto ends = config.eos_token_ids;
  if (vocabulary.eos) {
    std::erase(ends, *vocabulary.eos);
    ends.insert(ends.begin(), *vocabulary.eos);
  }
  constexpr std::array<std::string_view, 3> end_names{"eos", "eot", "eom"};
  for (std::size_t i = 0; i < std::min(ends.size(), end_names.size()); ++i) id(end_names[i], ends[i]);

  writer.add("tokenizer.ggml.add_bos_token", vocabulary.add_bos);
  writer.add("tokenizer.ggml.add_eos_token", vocabulary.add_eos);
  writer.add("tokenizer.ggml.add_space_prefix", vocabulary.add_space_prefix);
  writer.add("tokenizer.ggml.remove_extra_whitespaces", tokenizer.remove_extra_whitespaces);
  if (!files.chat_template.empty()) writer.add("tokenizer.chat_template", files.chat_template);
}

/// What Llama 3 divides the RoPE frequencies by.
std::vector<float> rope_divisors(const ModelConfig& config) {
  ModelConfig unscaled = config;
  unscaled.rope_scaling = {};
  const auto plain = rope_radians(unscaled, {}), scaled = rope_radians(config, {});
  std::vector<float> divisors;
  for (std::size_t i = 0; i < plain.size(); ++i) divisors.push_back(static_cast<float>(plain[i] / scaled[i]));
  return divisors;
}

GgufModel from_hugging_face(const std::filesystem::path& path) {
  auto files = open_model(path);
  GgufModel model{.writer = {}, .weights = std::move(files.weights), .tensors = {}, .rope_divisors = {}};
  add_config(files, model.writer);
  add_vocabulary(files, model.writer);

  const ModelConfig& config = files.config;
  if (config.rope_scaling.type == RopeScaling::Type::llama3) {
    model.rope_divisors = rope_divisors(config);
    model.weights.add("rope_freqs.weight", "F32", {model.rope_divisors.size()},
                      std::as_bytes(std::span(model.rope_divisors)));
  }
  model.weights.require_supported();
  for (const auto& tensor : model.weights.tensors()) {
    // Frequencies that old checkpoints carry along, and a head that the embedding stands in for.
    if (tensor.name.ends_with(".rotary_emb.inv_freq")) continue;
    if (tensor.name == "lm_head.weight" && config.tie_word_embeddings) continue;
    const auto name = gguf_name(tensor.name);
    require(name != tensor.name || name == "rope_freqs.weight",
            "{}: tensor {} has no place in a GGUF of the Llama architecture", model.weights.source(),
            in_quotes(tensor.name));
    const bool query = name.find(".attn_q.") != name.npos, key = name.find(".attn_k.") != name.npos;
    const std::size_t heads = query ? config.num_attention_heads : key ? config.num_key_value_heads : 0;
    require(heads == 0 || (!tensor.shape.empty() && tensor.shape[0] == heads * config.head_dim),
            "{}: tensor {} has shape {}, expected {} rows", model.weights.source(), in_quotes(tensor.name),
            tensor.shape, heads * config.head_dim);
    model.tensors.push_back({name, &tensor, heads});
  }
  return model;
}

}  // namespace

GgufModel open_as_gguf(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(path, ignored) && MappedFile(path).text().starts_with("GGUF"))
    return from_gguf(path);
  return from_hugging_face(path);
}

}  // namespace glassbox::model
