#include "model/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "gpu/error.h"

namespace glassbox::model {
namespace {

using nlohmann::json;

// Far beyond any model of this family, and small enough that products of two sizes cannot overflow.
constexpr std::uint64_t most_layers = 1 << 12;
constexpr std::uint64_t most_heads = 1 << 12;
constexpr std::uint64_t most_elements = 1 << 24;  // of a width or a vocabulary
constexpr std::uint64_t most_positions = 1 << 30;

/// The keys of a JSON object of `file`; null counts as absent.
class ConfigFields {
 public:
  ConfigFields(const json& object, std::string file) : object_(object), file_(std::move(file)) {}

  const std::string& file() const { return file_; }
  const json* find(const char* key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  [[noreturn]] void refuse(const char* key, std::string_view expected) const {
    const json* value = find(key);
    fail("{}: {} is {}, expected {}", file_, key, value ? in_quotes(value->dump(-1, ' ', true)) : "missing", expected);
  }

  /// A size from 1 to `most`.
  std::size_t size(const char* key, std::uint64_t most, std::optional<std::size_t> fallback = {}) const {
    const json* value = find(key);
    if (value == nullptr && fallback) return *fallback;
    if (value == nullptr || !value->is_number_unsigned() || value->get<std::uint64_t>() < 1 ||
        value->get<std::uint64_t>() > most)
      refuse(key, fmt::format("an integer from 1 to {}", most));
    return value->get<std::size_t>();
  }
  double positive(const char* key, std::optional<double> fallback = {}) const {
    const json* value = find(key);
    if (value == nullptr && fallback) return *fallback;
    if (value == nullptr || !value->is_number() || !(value->get<double>() > 0)) refuse(key, "a positive number");
    return value->get<double>();
  }
  bool flag(const char* key) const {
    const json* value = find(key);
    if (value != nullptr && !value->is_boolean()) refuse(key, "true or false");
    return value != nullptr && value->get<bool>();
  }
  std::string text(const char* key, const char* fallback) const {
    const json* value = find(key);
    if (value != nullptr && !value->is_string()) refuse(key, "a string");
    return value == nullptr ? fallback : value->get<std::string>();
  }
  /// One token id or a list of them; empty where the key is absent.
  std::vector<std::uint32_t> token_ids(const char* key) const {
    const json* value = find(key);
    if (value == nullptr) return {};
    const json list = value->is_array() ? *value : json::array({*value});
    for (const json& id : list)
      if (!id.is_number_unsigned() || id.get<std::uint64_t>() > most_elements)
        refuse(key, "a token id or a list of them");
    return list.get<std::vector<std::uint32_t>>();
  }

 private:
  const json& object_;
  std::string file_;
};

/// What holds of a model wherever its description came from. `file` is for messages.
void validate(const ModelConfig& config, const std::string& file) {
  require(config.num_attention_heads % config.num_key_value_heads == 0,
          "{}: {} attention heads cannot share {} key-value heads evenly", file, config.num_attention_heads,
          config.num_key_value_heads);
  require(config.head_dim % 2 == 0, "{}: head_dim is {}, expected an even number (RoPE rotates pairs)", file,
          config.head_dim);
  for (const std::uint32_t id : config.eos_token_ids)
    require(id < config.vocab_size, "{}: eos_token_id is {}, expected less than vocab_size {}", file, id,
            config.vocab_size);
  require(config.bos_token_id.value_or(0) < config.vocab_size,
          "{}: bos_token_id is {}, expected less than vocab_size {}", file, *config.bos_token_id, config.vocab_size);
}

std::size_t head_dim_of(const std::string& file, std::size_t hidden_size, std::size_t heads) {
  require(hidden_size % heads == 0, "{}: {} attention heads do not divide the hidden size {}", file, heads,
          hidden_size);
  return hidden_size / heads;
}

void require_supported(const ConfigFields& config) {
  const json* list = config.find("architectures");
  if (list != nullptr && !list->is_array()) config.refuse("architectures", "a list");
  const bool named = list != nullptr && !list->empty() && list->front().is_string();
  const std::string architecture = named ? list->front().get<std::string>() : config.text("model_type", "(none given)");
  const bool mistral = architecture == "MistralForCausalLM" || architecture == "mistral";
  require(mistral || architecture == "LlamaForCausalLM" || architecture == "llama",
          "{}: architecture {} is not supported, expected one of LlamaForCausalLM, MistralForCausalLM", config.file(),
          in_quotes(architecture));
  if (config.find("sliding_window") != nullptr && mistral)
    config.refuse("sliding_window", "null: a sliding attention window is not supported");
  if (config.find("quantization_config") != nullptr)
    fail("{}: quantization_config is present, expected weights in f32, f16 or bf16", config.file());
  const auto activation = config.text("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") config.refuse("hidden_act", "silu");
}

/// Both styles: rope_parameters holds everything; before it, rope_theta stood beside a rope_scaling that could be null
/// and called its rope_type "type".
void read_rope(const ConfigFields& config, ModelConfig& model) {
  const bool today = config.find("rope_parameters") != nullptr;
  const char* key = today ? "rope_parameters" : "rope_scaling";
  const json none = json::object();
  const json* given = config.find(key);
  if (given != nullptr && !given->is_object()) config.refuse(key, "an object");
  const ConfigFields rope(given ? *given : none, fmt::format("{}: {}", config.file(), key));

  model.rope_theta = rope.positive("rope_theta", config.positive("rope_theta", 10000.0));
  for (const ConfigFields& fields : {rope, config})
    if (fields.positive("partial_rotary_factor", 1.0) != 1.0) fields.refuse("partial_rotary_factor", "1");

  const auto type = rope.text("rope_type", rope.text("type", "default").c_str());
  if (type == "default") return;
  if (type != "linear" && type != "llama3")
    rope.refuse(rope.find("rope_type") ? "rope_type" : "type", "one of default, linear, llama3");
  model.rope_scaling.factor = rope.positive("factor");
  model.rope_scaling.type = type == "linear" ? RopeScaling::Type::linear : RopeScaling::Type::llama3;
  if (type == "linear") return;
  model.rope_scaling.low_freq_factor = rope.positive("low_freq_factor");
  model.rope_scaling.high_freq_factor = rope.positive("high_freq_factor");
  if (model.rope_scaling.high_freq_factor <= model.rope_scaling.low_freq_factor)
    rope.refuse("high_freq_factor", "more than low_freq_factor");
  model.rope_scaling.original_max_position_embeddings = rope.size("original_max_position_embeddings", most_positions);
}

void read_special_tokens(const ConfigFields& fields, ModelConfig& model) {
  if (const auto bos = fields.token_ids("bos_token_id"); !bos.empty()) model.bos_token_id = bos.front();
  if (auto eos = fields.token_ids("eos_token_id"); !eos.empty()) model.eos_token_ids = std::move(eos);
}

}  // namespace

ModelConfig config_from_hugging_face(const std::filesystem::path& directory) {
  const auto path = directory / "config.json";
  const json object = read_json(path);
  const ConfigFields config(object, path.string());
  require_supported(config);

  ModelConfig model{.architecture = "llama"};
  model.hidden_size = config.size("hidden_size", most_elements);
  model.intermediate_size = config.size("intermediate_size", most_elements);
  model.num_hidden_layers = config.size("num_hidden_layers", most_layers);
  model.num_attention_heads = config.size("num_attention_heads", most_heads);
  model.num_key_value_heads = config.size("num_key_value_heads", most_heads, model.num_attention_heads);
  model.head_dim = config.find("head_dim") ? config.size("head_dim", most_elements)
                                           : head_dim_of(config.file(), model.hidden_size, model.num_attention_heads);
  model.vocab_size = config.size("vocab_size", most_elements);
  model.max_position_embeddings = config.size("max_position_embeddings", most_positions, 2048);
  model.rms_norm_eps = config.positive("rms_norm_eps", 1e-6);
  read_rope(config, model);
  model.tie_word_embeddings = config.flag("tie_word_embeddings");
  model.attention_bias = config.flag("attention_bias");
  model.mlp_bias = config.flag("mlp_bias");
  model.dtype = config.text("dtype", config.text("torch_dtype", "").c_str());

  read_special_tokens(config, model);
  if (const auto generation = directory / "generation_config.json"; file_exists(generation))
    read_special_tokens(ConfigFields(read_json(generation), generation.string()), model);
  validate(model, config.file());
  return model;
}

ModelConfig config_from_gguf(const Gguf& gguf) {
  const std::string& file = gguf.name();
  const auto architecture = gguf.at<std::string>("general.architecture");
  require(architecture == "llama", "{}: architecture {} is not supported, expected llama", file,
          in_quotes(architecture));

  const auto checked = [&](const std::string& key, std::uint64_t value, std::uint64_t most) {
    require(value >= 1 && value <= most, "{}: {} is {}, expected 1 to {}", file, key, value, most);
    return static_cast<std::size_t>(value);
  };
  const auto size = [&](const std::string& key, std::uint64_t most, std::optional<std::uint64_t> fallback = {}) {
    const auto value = gguf.find<std::uint64_t>(key);
    return checked(key, value ? *value : fallback ? *fallback : gguf.at<std::uint64_t>(key), most);
  };
  const auto positive = [&](const std::string& key, std::optional<double> fallback = {}) {
    const auto found = gguf.find<double>(key);
    const double value = found ? *found : fallback ? *fallback : gguf.at<double>(key);
    require(std::isfinite(value) && value > 0, "{}: {} is {}, expected a positive number", file, key, value);
    return value;
  };
  // Keys of kinds of model that share the name "llama" and are not of this family.
  for (const std::string key : {"llama.expert_count", "llama.attention.sliding_window"}) {
    const auto value = gguf.find<std::uint64_t>(key).value_or(0);
    require(value == 0, "{}: {} is {}, expected 0: not supported", file, key, value);
  }

  const Weights& weights = gguf.weights();
  ModelConfig model{.architecture = architecture, .rope_pairing = gpu::RopePairing::interleaved};
  model.hidden_size = size("llama.embedding_length", most_elements);
  model.intermediate_size = size("llama.feed_forward_length", most_elements);
  model.num_hidden_layers = size("llama.block_count", most_layers);
  model.num_attention_heads = size("llama.attention.head_count", most_heads);
  model.num_key_value_heads = size("llama.attention.head_count_kv", most_heads, model.num_attention_heads);
  model.head_dim = gguf.metadata().contains("llama.attention.key_length")
                       ? size("llama.attention.key_length", most_elements)
                       : head_dim_of(file, model.hidden_size, model.num_attention_heads);
  for (const std::string key : {"llama.rope.dimension_count", "llama.attention.value_length"}) {
    const auto value = size(key, most_elements, model.head_dim);
    require(value == model.head_dim, "{}: {} is {}, expected the head dimension {}", file, key, value, model.head_dim);
  }
  const auto tokens = gguf.metadata().find("tokenizer.ggml.tokens");
  model.vocab_size = tokens == gguf.metadata().end() ? size("llama.vocab_size", most_elements)
                                                     : size("llama.vocab_size", most_elements, tokens->second.count);
  model.max_position_embeddings = size("llama.context_length", most_positions);
  model.rms_norm_eps = positive("llama.attention.layer_norm_rms_epsilon");
  model.rope_theta = positive("llama.rope.freq_base", 10000.0);

  // llama.rope.scale_linear is what files said before llama.rope.scaling.* existed.
  const double older_factor = positive("llama.rope.scale_linear", 1.0);
  const auto scaling =
      gguf.find<std::string>("llama.rope.scaling.type").value_or(older_factor == 1.0 ? "none" : "linear");
  require(scaling == "none" || scaling == "linear", "{}: llama.rope.scaling.type is {}, expected one of none, linear",
          file, in_quotes(scaling));
  if (scaling == "linear")
    model.rope_scaling = {RopeScaling::Type::linear, positive("llama.rope.scaling.factor", older_factor)};

  model.tie_word_embeddings = !weights.contains("lm_head.weight");
  model.attention_bias = weights.contains("model.layers.0.self_attn.q_proj.bias");
  model.mlp_bias = weights.contains("model.layers.0.mlp.gate_proj.bias");
  const auto token_id = [&](std::string_view name) {
    const auto id = gguf.find<std::uint64_t>(fmt::format("tokenizer.ggml.{}_token_id", name));
    require(id.value_or(0) <= most_elements, "{}: tokenizer.ggml.{}_token_id is {}, expected at most {}", file, name,
            id.value_or(0), most_elements);
    return id ? std::optional(static_cast<std::uint32_t>(*id)) : std::nullopt;
  };
  model.bos_token_id = token_id("bos");
  for (const std::string_view end : {"eos", "eot", "eom"})
    if (const auto id = token_id(end); id && std::ranges::count(model.eos_token_ids, *id) == 0)
      model.eos_token_ids.push_back(*id);
  if (const auto type = weights.main_type()) model.dtype = name_of(*type);
  validate(model, file);
  return model;
}

}  // namespace glassbox::model
