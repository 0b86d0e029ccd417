#include "tests/ui/fake_snapshot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include "gpu/error.h"

namespace glassbox::testing {
namespace {

using app::live::TokenRecord;

constexpr double hidden = 512, intermediate = 1376, kv = 256, vocabulary = 8192;
constexpr double bandwidth = 12.9e9, peak = 61.8e9;  // bytes, flops a second

/// One kernel of the model: y = f(x) over `outputs` values a token.
struct Work {
  const char *kernel, *primitive;
  int layer;
  double weight_bytes, outputs, flops;  ///< flops a token
};

std::vector<Work> works(int layers, std::size_t tokens, std::size_t position) {
  const char* matmul = tokens == 1 ? "matmul_row" : "matmul_tile";
  const auto linear = [&](int layer, double out, double in) {
    return Work{matmul, "matmul", layer, 2 * out * in, out, 2 * out * in};
  };
  std::vector<Work> list = {{"embedding", "embedding", -1, 2 * hidden, hidden, 0}};
  const double seen = static_cast<double>(position + tokens);
  for (int layer = 0; layer < layers; ++layer) {
    list.push_back({"rms_norm", "rms_norm", layer, 4 * hidden, hidden, 4 * hidden});
    list.push_back(linear(layer, hidden, hidden));
    list.push_back(linear(layer, kv, hidden));
    list.push_back(linear(layer, kv, hidden));
    list.push_back({"rope", "rope", layer, 0, hidden, 6 * hidden});
    list.push_back({"rope", "rope", layer, 0, kv, 6 * kv});
    list.push_back({"kv_pack", "kv_pack", layer, 0, kv, 0});
    list.push_back({"kv_pack", "kv_pack", layer, 0, kv, 0});
    list.push_back({"attention", "attention", layer, 8 * kv * seen, hidden, 4 * hidden * seen});
    list.push_back(linear(layer, hidden, hidden));
    list.push_back({"rms_norm_residual", "rms_norm_residual", layer, 4 * hidden, hidden, 5 * hidden});
    list.push_back(linear(layer, intermediate, hidden));
    list.push_back(linear(layer, intermediate, hidden));
    list.push_back({"elementwise", "silu", layer, 0, intermediate, 5 * intermediate});
    list.push_back({"binary", "multiply", layer, 0, intermediate, intermediate});
    list.push_back(linear(layer, hidden, intermediate));
    list.push_back({"binary", "add", layer, 0, hidden, hidden});
  }
  list.push_back({"rms_norm", "rms_norm", -1, 4 * hidden, hidden, 4 * hidden});
  list.push_back(linear(-1, vocabulary, hidden));
  return list;
}

void add_tensors(app::live::ModelCard& card) {
  const auto add = [&](std::string name, gpu::Shape shape, const char* dtype) {
    const double values = static_cast<double>(gpu::element_count(shape));
    const double bytes = std::string_view(dtype) == "q4_0" ? values * 18 / 32 : values * 4;
    card.tensors.push_back({std::move(name), dtype, std::move(shape), static_cast<std::size_t>(bytes)});
  };
  const auto& c = card.config;
  add("model.embed_tokens.weight", {c.vocab_size, c.hidden_size}, "q4_0");
  for (std::size_t i = 0; i < c.num_hidden_layers; ++i) {
    const auto name = [&](const char* rest) { return fmt::format("model.layers.{}.{}.weight", i, rest); };
    add(name("input_layernorm"), {c.hidden_size}, "f32");
    add(name("self_attn.q_proj"), {c.hidden_size, c.hidden_size}, "q4_0");
    add(name("self_attn.k_proj"), {256, c.hidden_size}, "q4_0");
    add(name("self_attn.v_proj"), {256, c.hidden_size}, "q4_0");
    add(name("self_attn.o_proj"), {c.hidden_size, c.hidden_size}, "q4_0");
    add(name("post_attention_layernorm"), {c.hidden_size}, "f32");
    add(name("mlp.gate_proj"), {c.intermediate_size, c.hidden_size}, "q4_0");
    add(name("mlp.up_proj"), {c.intermediate_size, c.hidden_size}, "q4_0");
    add(name("mlp.down_proj"), {c.hidden_size, c.intermediate_size}, "q4_0");
  }
  add("model.norm.weight", {c.hidden_size}, "f32");
}

std::vector<model::Candidate> fake_candidates(std::size_t count, std::uint32_t first, std::mt19937_64& random) {
  std::vector<model::Candidate> candidates;
  std::uniform_real_distribution<float> fall(0.25F, 0.8F);
  float probability = std::uniform_real_distribution<float>(0.2F, 0.95F)(random);
  for (std::size_t i = 0; i < count; ++i) {
    candidates.push_back({first + static_cast<std::uint32_t>(37 * i), 12 + std::log(probability), probability,
                          i < 6 ? std::min(1.0F, probability * 1.04F) : 0});
    probability *= i == 0 ? std::min(fall(random), (1 - probability) / probability * 0.6F) : fall(random);
  }
  return candidates;
}

}  // namespace

gpu::ProfiledRun fake_run(const FakeOptions& options, std::size_t first, std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::lognormal_distribution<double> noise(0, 0.18);
  std::uniform_real_distribution<double> gap(0.4, 2.5), chance(0, 1);
  gpu::ProfiledRun run{.section = count == 1 ? "decode" : "prompt", .first = first, .count = count};
  run.start_us = 1e4 + 9e3 * static_cast<double>(first);
  double at = 35;
  const auto tokens = static_cast<double>(count);
  for (const auto& work : works(options.layers, count, first)) {
    const bool wide = std::string_view(work.primitive) == "matmul";
    const gpu::Cost cost{work.weight_bytes + 8 * work.outputs * tokens, work.flops * tokens};
    const double efficient = wide ? 0.62 : 0.21;
    const double least = std::max(cost.bytes / bandwidth, cost.flops / peak) * 1e6;
    double duration = (3.5 + least / efficient) * noise(random);
    if (chance(random) < 0.01) duration *= 4;  // another process had the core
    const bool barrier = chance(random) < 0.85;
    run.dispatches.push_back(
        {.kernel = work.kernel,
         .primitive = work.primitive,
         .layer = work.layer,
         .grid = {static_cast<std::uint32_t>(std::ceil(work.outputs / 4)), static_cast<std::uint32_t>(count), 1},
         .local_size = wide ? 32U : 64U,
         .barrier = barrier,
         .cost = cost,
         .start_us = at,
         .duration_us = duration});
    at += duration + gap(random) * (barrier ? 1 : 0.2);
    if (chance(random) < 0.004) at += 120;  // the CPU was late
  }
  run.wall_us = at + 60;
  return run;
}

app::live::TokenCheck fake_check(const FakeOptions& options, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::lognormal_distribution<double> noise(0, 0.7);
  std::normal_distribution<double> normal;
  app::live::TokenCheck check;
  check.whole_model = options.whole_model;
  check.seconds = options.whole_model ? 2.31 : 0.184;
  double accumulated = 1e-15;
  std::size_t index = 0;
  for (const auto& work : works(options.layers, 1, 60)) {
    const bool wrong = options.divergent == index;
    gpu::KernelError error{.name = work.primitive, .index = index, .layer = work.layer};
    const auto columns = static_cast<std::size_t>(work.outputs);
    error.shape = std::string_view(work.primitive) == "rope" ? gpu::Shape{1, columns / 64, 64} : gpu::Shape{1, columns};
    const double nmse = wrong ? 3.1e-4 : work.flops == 0 ? 0 : 2e-15 * noise(random) * (1 + work.flops / 2e6);
    accumulated += nmse * 1.5 + 3e-15 * noise(random);
    error.tolerance = {.nmse = 1e-12, .max_abs = std::numeric_limits<double>::infinity()};
    error.ok = nmse <= error.tolerance.nmse;
    if (!error.ok && !check.first_divergent) check.first_divergent = index;
    app::live::KernelValues values{.shape = error.shape};
    const double spread = std::sqrt(nmse);
    double squares = 0, reference_squares = 0, dot = 0, computed_squares = 0;
    for (std::size_t i = 0; i < columns; ++i) {
      const double reference = normal(random);
      const double off = wrong && i % 64 < 8 ? 5 * spread * normal(random) : spread * normal(random);
      const double value = reference + off;
      squares += off * off;
      reference_squares += reference * reference;
      computed_squares += value * value;
      dot += reference * value;
      if (std::abs(off) > error.isolated.max_abs) {
        error.isolated.max_abs = std::abs(off);
        error.isolated.worst = i;
        error.isolated.worst_value = value;
        error.isolated.worst_reference = reference;
      }
      values.reference.push_back(static_cast<float>(reference));
      values.computed.push_back(static_cast<float>(value));
    }
    error.isolated.nmse = squares / reference_squares;
    error.isolated.max_ulp = error.isolated.max_abs / 1.2e-7;
    error.isolated.cosine = dot / std::sqrt(reference_squares * computed_squares);
    if (options.whole_model)
      error.accumulated = {.nmse = accumulated,
                           .max_abs = 4 * std::sqrt(accumulated),
                           .max_ulp = 4 * std::sqrt(accumulated) / 1.2e-7,
                           .cosine = 1 - accumulated / 2};
    check.kernels.push_back(std::move(error));
    check.values.push_back(std::move(values));
    ++index;
  }
  if (options.whole_model) {
    check.logits = {.nmse = accumulated, .max_abs = 2.4e-5, .max_ulp = 61, .cosine = 1 - accumulated / 2};
    check.kl = accumulated * 0.2;
  }
  return check;
}

app::live::ModelCard fake_model(const FakeOptions& options) {
  app::live::ModelCard card{.name = "Fable 22M Chat", .path = "/home/ada/models/fable-22m-chat-q4_0.gguf"};
  card.config = {.architecture = "llama",
                 .hidden_size = 512,
                 .intermediate_size = 1376,
                 .num_hidden_layers = static_cast<std::size_t>(options.layers),
                 .num_attention_heads = 8,
                 .num_key_value_heads = 4,
                 .head_dim = 64,
                 .vocab_size = 8192,
                 .max_position_embeddings = 2048,
                 .rms_norm_eps = 1e-5,
                 .rope_theta = 10000};
  card.config.tie_word_embeddings = true;
  card.config.bos_token_id = 1;
  card.config.eos_token_ids = {2, 7};
  card.config.dtype = "q4_0";
  add_tensors(card);
  for (const auto& tensor : card.tensors) card.weight_bytes += tensor.bytes;
  card.file_bytes = card.weight_bytes + 200'000;
  card.context = 2048;
  card.cache_bytes = 2 * 2048 * 256 * 4 * static_cast<std::size_t>(options.layers);
  card.tokenizer = "SentencePiece BPE, 8192 tokens";
  card.chat_template =
      "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}</s>\n{% endfor %}"
      "{% if add_generation_prompt %}<|assistant|>\n{% endif %}";
  card.load_seconds = 1.84;
  return card;
}

app::live::DeviceCard fake_device(const FakeOptions& options) {
  app::live::DeviceCard card{
      .vendor = options.software ? "Mesa" : "Intel",
      .renderer = options.software ? "llvmpipe (LLVM 15.0.6, 256 bits)" : "Mesa Intel(R) UHD Graphics 620 (KBL GT2)",
      .version = "OpenGL ES 3.2 Mesa 22.3.6"};
  card.limits = {.ssbo_bindings = 32,
                 .invocations = 1024,
                 .shared_bytes = 32768,
                 .images = 16,
                 .textures = 128,
                 .texel_buffer_texels = 134217728};
  card.features = {.es_version = 320,
                   .precise = true,
                   .texel_buffers = true,
                   .buffer_storage = true,
                   .timestamps = options.timer == gpu::TimerSource::gpu_timestamp,
                   .subgroups = false,
                   .program_binary = true,
                   .software = options.software};
  card.load_path = gpu::LoadPath::texel;
  card.load_path_speed = {2.41, 9.87, 12.93};
  card.timer = options.timer;
  const bool gpu_clock = options.timer == gpu::TimerSource::gpu_timestamp;
  card.timer_verdict = gpu_clock ? "self-test dispatch: 1811.1 us by timestamps, 1843.3 us by the CPU's clock"
                                 : "the driver has no EXT_disjoint_timer_query";
  card.measured_by = fmt::format("timer: {}{}", gpu::name_of(options.timer),
                                 options.software ? "; software driver: kernels run on the CPU" : "");
  card.cache_directory = "/home/ada/.cache/glassbox";
  return card;
}

app::live::Snapshot fake_snapshot(const FakeOptions& options) {
  constexpr std::array<const char*, 12> words = {"Once", " upon", " a",      " time",   ",",       " there",
                                                 " was", " a",    " bright", " little", " shader", "."};
  app::live::Snapshot snapshot;
  snapshot.revision = 1 + options.tokens;
  snapshot.model = std::make_shared<app::live::ModelCard>(fake_model(options));
  snapshot.device = std::make_shared<app::live::DeviceCard>(fake_device(options));
  if (options.roofline) snapshot.roofline = gpu::Roofline{bandwidth, peak, "2026-11-21"};
  snapshot.watching = {.time_kernels = options.timed, .check_every = options.check_every};

  auto answer = std::make_shared<app::live::Message>();
  auto runs = std::make_shared<std::vector<std::shared_ptr<const gpu::ProfiledRun>>>();
  std::mt19937_64 random(11);
  for (std::size_t i = 0; i < options.tokens; ++i) {
    auto token = std::make_shared<TokenRecord>();
    token->text = words[i % words.size()];
    token->begin = answer->content.size();
    answer->content += token->text;
    token->candidates = fake_candidates(options.candidates, 300 + static_cast<std::uint32_t>(i), random);
    token->id = token->candidates.empty() ? 300 : token->candidates.front().token;
    if (!token->candidates.empty()) token->probability = token->candidates.front().probability;
    token->seconds = 0.0091;
    if (options.timed) {
      const auto first = i == 0 ? 0 : options.prompt_tokens + i - 1;
      token->run = std::make_shared<gpu::ProfiledRun>(fake_run(options, first, i == 0 ? options.prompt_tokens : 1, i));
      token->seconds = token->run->wall_us / 1e6;
      runs->push_back(token->run);
    }
    if (options.check_every > 0 && i % options.check_every == 0)
      token->check = std::make_shared<app::live::TokenCheck>(fake_check(options, i));
    answer->tokens.push_back(std::move(token));
  }
  snapshot.runs = runs;
  answer->id = 2;
  answer->role = "assistant";
  answer->created = 1'795'000'000'000;
  answer->siblings = {2};
  answer->first_token_seconds = 0.31;
  answer->tokens_per_second = 108.4;
  answer->prompt_tokens = options.prompt_tokens;
  answer->stop_reason = "end";

  auto question = std::make_shared<app::live::Message>();
  question->id = 1;
  question->role = "user";
  question->content = "Tell me a story about a shader.";
  question->created = answer->created - 2000;
  question->siblings = {1};
  auto thread = std::make_shared<app::live::Thread>();
  thread->conversation = 1;
  thread->title = "A story about a shader";
  thread->messages = {question, answer};
  thread->context_used = options.prompt_tokens + options.tokens;
  thread->context_size = 2048;
  snapshot.thread = thread;
  return snapshot;
}

}  // namespace glassbox::testing
