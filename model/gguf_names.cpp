#include <array>

#include "model/gguf.h"

namespace glassbox::model {
namespace {

struct Name {
  std::string_view gguf, hugging_face;
};
constexpr std::array<Name, 3> whole_model{
    {{"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}}};
constexpr std::array<Name, 11> of_a_layer{{{"attn_norm", "input_layernorm"},
                                           {"attn_q", "self_attn.q_proj"},
                                           {"attn_k", "self_attn.k_proj"},
                                           {"attn_v", "self_attn.v_proj"},
                                           {"attn_output", "self_attn.o_proj"},
                                           {"attn_q_norm", "self_attn.q_norm"},
                                           {"attn_k_norm", "self_attn.k_norm"},
                                           {"ffn_norm", "post_attention_layernorm"},
                                           {"ffn_gate", "mlp.gate_proj"},
                                           {"ffn_up", "mlp.up_proj"},
                                           {"ffn_down", "mlp.down_proj"}}};
constexpr std::string_view gguf_layers = "blk.", hugging_face_layers = "model.layers.";

/// `name`, written with `from` and `from_layers`, in the other spelling.
std::string translated(std::string_view name, std::string_view Name::*from, std::string_view from_layers,
                       std::string_view Name::*to, std::string_view to_layers) {
  const auto dot = name.rfind('.');
  const auto suffix = dot == name.npos ? "" : name.substr(dot);
  if (suffix != ".weight" && suffix != ".bias") return std::string(name);
  const auto stem = name.substr(0, dot);
  for (const auto& entry : whole_model)
    if (stem == entry.*from) return fmt::format("{}{}", entry.*to, suffix);
  if (!stem.starts_with(from_layers)) return std::string(name);
  const auto number_end = stem.find('.', from_layers.size());
  for (const auto& entry : of_a_layer)
    if (number_end != stem.npos && stem.substr(number_end + 1) == entry.*from)
      return fmt::format("{}{}.{}{}", to_layers, stem.substr(from_layers.size(), number_end - from_layers.size()),
                         entry.*to, suffix);
  return std::string(name);
}

}  // namespace

std::string hugging_face_name(std::string_view name) {
  return translated(name, &Name::gguf, gguf_layers, &Name::hugging_face, hugging_face_layers);
}
std::string gguf_name(std::string_view name) {
  return translated(name, &Name::hugging_face, hugging_face_layers, &Name::gguf, gguf_layers);
}

}  // namespace glassbox::model
