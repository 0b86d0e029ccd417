#pragma once

#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "model/sentencepiece_proto.h"
#include "tests/model/container_builder.h"

// A Llama of random float32 weights, small enough to be computed in plain float64 loops beside the engine.
namespace glassbox::testing {

struct TinyShape {
  std::size_t hidden = 24, intermediate = 40, layers = 2, heads = 3, kv_heads = 1, head_dim = 8, vocab = 288,
              context = 64;
  bool tied = false, attention_bias = false, mlp_bias = false;
};

class TinyLlama {
 public:
  struct Tensor {
    std::vector<std::size_t> shape;
    std::vector<float> values;
  };

  explicit TinyLlama(const TinyShape& shape = {}, unsigned seed = 7) : s(shape), random_(seed) {
    matrix("model.embed_tokens", s.vocab, s.hidden, 1.0);
    for (std::size_t i = 0; i < s.layers; ++i) {
      const auto p = layer(i);
      norm(p + "input_layernorm");
      norm(p + "post_attention_layernorm");
      linear(p + "self_attn.q_proj", s.heads * s.head_dim, s.hidden, s.attention_bias);
      linear(p + "self_attn.k_proj", s.kv_heads * s.head_dim, s.hidden, s.attention_bias);
      linear(p + "self_attn.v_proj", s.kv_heads * s.head_dim, s.hidden, s.attention_bias);
      linear(p + "self_attn.o_proj", s.hidden, s.heads * s.head_dim, s.attention_bias);
      linear(p + "mlp.gate_proj", s.intermediate, s.hidden, s.mlp_bias);
      linear(p + "mlp.up_proj", s.intermediate, s.hidden, s.mlp_bias);
      linear(p + "mlp.down_proj", s.hidden, s.intermediate, s.mlp_bias);
    }
    norm("model.norm");
    if (!s.tied) matrix("lm_head", s.vocab, s.hidden, 2 / std::sqrt(double(s.hidden)));
  }

  TinyShape s;
  std::map<std::string, Tensor> tensors;

  nlohmann::json config() const {
    return {{"architectures", {"LlamaForCausalLM"}},
            {"model_type", "llama"},
            {"hidden_size", s.hidden},
            {"intermediate_size", s.intermediate},
            {"num_hidden_layers", s.layers},
            {"num_attention_heads", s.heads},
            {"num_key_value_heads", s.kv_heads},
            {"head_dim", s.head_dim},
            {"vocab_size", s.vocab},
            {"max_position_embeddings", s.context},
            {"rms_norm_eps", 1e-5},
            {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 10000.0}}},
            {"tie_word_embeddings", s.tied},
            {"attention_bias", s.attention_bias},
            {"mlp_bias", s.mlp_bias},
            {"bos_token_id", 1},
            {"eos_token_id", 2}};
  }

  /// The file of these tensors, in the order of their names.
  std::string safetensors() const {
    auto header = nlohmann::ordered_json::object();
    std::string data;
    for (const auto& [name, tensor] : tensors) {
      const std::size_t begin = data.size();
      data.append(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size() * sizeof(float));
      header[name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
    }
    const auto text = header.dump();
    return raw<std::uint64_t>(text.size()) + text + data;
  }

  /// config.json with the changes of `patch` (an RFC 7396 merge patch) and model.safetensors.
  const std::filesystem::path& write(const std::filesystem::path& directory,
                                     const nlohmann::json& patch = nlohmann::json::object()) const {
    std::filesystem::create_directories(directory);
    auto patched = config();
    patched.merge_patch(patch);
    write_file(directory / "config.json", patched.dump());
    write_file(directory / "model.safetensors", safetensors());
    return directory;
  }

  /// Logits [ids, vocab] in float64, written down from the papers: RMSNorm (Zhang & Sennrich 2019), RoPE (Su et al.
  /// 2021), GQA (Ainslie et al. 2023), SwiGLU (Shazeer 2020).
  std::vector<double> logits(const std::vector<std::uint32_t>& ids) const {
    std::vector<Vector> h;
    for (const auto id : ids) {
      const auto& embedding = tensors.at("model.embed_tokens.weight").values;
      const auto row = embedding.begin() + static_cast<std::ptrdiff_t>(id * s.hidden);
      h.emplace_back(row, row + static_cast<std::ptrdiff_t>(s.hidden));
    }
    for (std::size_t i = 0; i < s.layers; ++i) {
      const auto p = layer(i);
      std::vector<Vector> q, k, v;
      for (std::size_t t = 0; t < h.size(); ++t) {
        const auto x = normalise(p + "input_layernorm", h[t]);
        q.push_back(rotate(apply(p + "self_attn.q_proj", x), t));
        k.push_back(rotate(apply(p + "self_attn.k_proj", x), t));
        v.push_back(apply(p + "self_attn.v_proj", x));
      }
      for (std::size_t t = 0; t < h.size(); ++t) {
        h[t] = sum(h[t], apply(p + "self_attn.o_proj", attend(q[t], k, v, t)));
        const auto x = normalise(p + "post_attention_layernorm", h[t]);
        auto gate = apply(p + "mlp.gate_proj", x);
        const auto up = apply(p + "mlp.up_proj", x);
        for (std::size_t j = 0; j < gate.size(); ++j) gate[j] = gate[j] / (1 + std::exp(-gate[j])) * up[j];
        h[t] = sum(h[t], apply(p + "mlp.down_proj", gate));
      }
    }
    std::vector<double> out;
    for (const auto& row : h) {
      const auto y = apply(s.tied ? "model.embed_tokens" : "lm_head", normalise("model.norm", row));
      out.insert(out.end(), y.begin(), y.end());
    }
    return out;
  }

 private:
  using Vector = std::vector<double>;

  static std::string layer(std::size_t i) { return "model.layers." + std::to_string(i) + "."; }
  void fill(const std::string& name, std::vector<std::size_t> shape, double mean, double deviation) {
    std::normal_distribution<double> normal(mean, deviation);
    std::size_t count = 1;
    for (const auto axis : shape) count *= axis;
    auto& tensor = tensors[name] = {std::move(shape), std::vector<float>(count)};
    for (auto& value : tensor.values) value = static_cast<float>(normal(random_));
  }
  void matrix(const std::string& name, std::size_t out, std::size_t in, double deviation) {
    fill(name + ".weight", {out, in}, 0, deviation);
  }
  void linear(const std::string& name, std::size_t out, std::size_t in, bool bias) {
    matrix(name, out, in, 1 / std::sqrt(double(in)));
    if (bias) fill(name + ".bias", {out}, 0, 0.5);
  }
  void norm(const std::string& name) { fill(name + ".weight", {s.hidden}, 1, 0.2); }

  static Vector sum(const Vector& a, const Vector& b) {
    Vector out;
    for (std::size_t i = 0; i < a.size(); ++i) out.push_back(a[i] + b[i]);
    return out;
  }
  Vector normalise(const std::string& name, const Vector& x) const {
    double squares = 0;
    for (const double value : x) squares += value * value;
    Vector out;
    for (std::size_t i = 0; i < x.size(); ++i)
      out.push_back(x[i] / std::sqrt(squares / double(x.size()) + 1e-5) *
                    double(tensors.at(name + ".weight").values[i]));
    return out;
  }
  Vector apply(const std::string& name, const Vector& x) const {
    const auto& weight = tensors.at(name + ".weight");
    const auto bias = tensors.find(name + ".bias");
    Vector out;
    for (std::size_t row = 0; row < weight.shape[0]; ++row) {
      double y = bias == tensors.end() ? 0 : double(bias->second.values[row]);
      for (std::size_t i = 0; i < x.size(); ++i) y += double(weight.values[row * x.size() + i]) * x[i];
      out.push_back(y);
    }
    return out;
  }
  Vector rotate(const Vector& x, std::size_t position) const {
    const std::size_t half = s.head_dim / 2;
    Vector out(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t in_head = i % s.head_dim, pair = in_head % half;
      const double angle = double(position) * std::pow(10000.0, -2.0 * double(pair) / double(s.head_dim));
      const double other = in_head < half ? -x[i + half] : x[i - half];
      out[i] = x[i] * std::cos(angle) + other * std::sin(angle);
    }
    return out;
  }
  Vector attend(const Vector& q, const std::vector<Vector>& k, const std::vector<Vector>& v, std::size_t t) const {
    Vector out(q.size(), 0.0);
    for (std::size_t head = 0; head < s.heads; ++head) {
      const std::size_t at = head * s.head_dim, kv_at = head / (s.heads / s.kv_heads) * s.head_dim;
      Vector weights;
      double total = 0;
      for (std::size_t past = 0; past <= t; ++past) {
        double score = 0;
        for (std::size_t i = 0; i < s.head_dim; ++i) score += q[at + i] * k[past][kv_at + i];
        weights.push_back(std::exp(score / std::sqrt(double(s.head_dim))));
        total += weights.back();
      }
      for (std::size_t past = 0; past <= t; ++past)
        for (std::size_t i = 0; i < s.head_dim; ++i) out[at + i] += weights[past] / total * v[past][kv_at + i];
    }
    return out;
  }

  std::mt19937 random_;
};

constexpr std::uint32_t first_letter = 259;  ///< of letter_tokenizer(): after <unk>, <s>, </s> and the 256 bytes

/// A tokenizer.model of `pieces` pieces: the specials, the bytes, then words of one, two and three letters.
inline std::string letter_tokenizer(std::size_t pieces) {
  using model::PieceType;
  model::Vocabulary vocabulary{.model = "llama", .bos = 1, .eos = 2, .unknown = 0};
  const auto add = [&](std::string piece, PieceType type) {
    vocabulary.scores.push_back(-static_cast<float>(vocabulary.pieces.size()));
    vocabulary.pieces.push_back(std::move(piece));
    vocabulary.types.push_back(type);
  };
  add("<unk>", PieceType::unknown);
  add("<s>", PieceType::control);
  add("</s>", PieceType::control);
  for (int byte = 0; byte < 256; ++byte) add(fmt::format("<0x{:02X}>", byte), PieceType::byte);
  for (const char* word : {"▁", "a", "b", "c", "d", "e", "ab", "bc", "cd", "de", "▁a", "▁b", "abc", "bcd", "cde", "é"})
    add(word, PieceType::normal);
  while (vocabulary.pieces.size() < pieces) add(fmt::format("z{}", vocabulary.pieces.size()), PieceType::normal);
  return model::to_sentencepiece(vocabulary, "letters").proto;
}

/// sum (a-b)^2 / sum b^2.
template <class A, class B>
double nmse(const A& a, const B& b) {
  EXPECT_EQ(a.size(), b.size());
  double error = 0, power = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    error += (double(a[i]) - double(b[i])) * (double(a[i]) - double(b[i]));
    power += double(b[i]) * double(b[i]);
  }
  return error / power;
}

inline std::uint32_t argmax(const std::vector<float>& logits) {
  return static_cast<std::uint32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace glassbox::testing
