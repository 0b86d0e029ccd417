#include <cmath>
#include <limits>

#include "app/live/state.h"
#include "gpu/cache_dir.h"
#include "gpu/compare.h"
#include "gpu/custom_kernel.h"
#include "gpu/error.h"
#include "gpu/random.h"

namespace glassbox::app::live {
namespace {

struct Function {
  const char* name;
  const char* expression;  ///< of x in GLSL
  double (*exact)(double);
  double low, high;
  const char* range;
};

// The ranges in which language models use them.
const Function functions[] = {
    {"exp", "exp(x)", std::exp, -80, 80, "-80 to 80"},
    {"exp2", "exp2(x)", std::exp2, -100, 100, "-100 to 100"},
    {"log", "log(x)", std::log, 1e-3, 1e3, "0.001 to 1000"},
    {"log2", "log2(x)", std::log2, 1e-3, 1e3, "0.001 to 1000"},
    {"pow(x, 1.7)", "pow(x, 1.7)", [](double x) { return std::pow(x, double{1.7F}); }, 1e-2, 1e2, "0.01 to 100"},
    {"tanh", "tanh(x)", std::tanh, -9, 9, "-9 to 9"},
    {"sin", "sin(x)", std::sin, -3.2, 3.2, "-3.2 to 3.2"},
    {"cos", "cos(x)", std::cos, -3.2, 3.2, "-3.2 to 3.2"},
    {"sqrt", "sqrt(x)", std::sqrt, 1e-6, 1e6, "1e-6 to 1e6"},
    {"inversesqrt", "inversesqrt(x)", [](double x) { return 1 / std::sqrt(x); }, 1e-6, 1e6, "1e-6 to 1e6"},
    {"1 / x", "1.0 / x", [](double x) { return 1 / x; }, 1e-3, 1e3, "0.001 to 1000"},
};

double largest_ulp(const Function& function, gpu::Random& random) {
  constexpr std::size_t count = 1 << 16, local_size = 32;
  const auto x = random.uniform({count}, function.low, function.high);
  const gpu::Kernel kernel{.name = "ulp",
                           .inputs = {"v"},
                           .outputs = {"y"},
                           .params = {},
                           .body = fmt::format("if (flat_id >= y_size) return; float x = v[flat_id]; y[flat_id] = {};",
                                               function.expression)};
  const auto y = gpu::kernel(kernel, {x}, {{{count}, gpu::DType::f32}},
                             {.params = {},
                              .grid = {count / local_size},
                              .options = {.local_size = local_size},
                              .reference = {},
                              .tolerance = {}});
  const auto in = x.values(), out = y.front().values();
  double worst = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double exact = function.exact(in[i]);
    const auto nearest = std::abs(static_cast<float>(exact));
    const double ulp =
        std::max(double{std::nextafter(nearest, std::numeric_limits<float>::infinity())} - double{nearest}, 1e-44);
    worst = std::max(worst, std::abs(out[i] - exact) / ulp);
  }
  return worst;
}

}  // namespace

void Worker::State::show_device() {
  const auto& device = engine->device();
  DeviceCard card{.vendor = device.vendor(),
                  .renderer = device.renderer(),
                  .version = device.version(),
                  .pretended = device.pretended(),
                  .measured_by = gpu::measured_by(device),
                  .limits = device.limits(),
                  .features = device.features(),
                  .load_path = device.load_path(),
                  .load_path_speed = device.load_path_speed(),
                  .timer = device.timer_source(),
                  .timer_verdict = device.timer_verdict()};
  if (const auto cache = gpu::cache_directory("programs")) card.cache_directory = cache->parent_path().string();
  if (next.device && next.device->renderer == card.renderer && next.device->version == card.version)
    card.functions = next.device->functions;
  next.device = std::make_shared<DeviceCard>(std::move(card));
}

void Worker::State::show_model(const model::EngineOptions& options) {
  const auto& files = engine->files();
  const auto& tokenizer = engine->tokenizer();
  ModelCard card{.name = files.name,
                 .path = options.model.string(),
                 .config = files.config,
                 .file_bytes = files.weights.file_bytes(),
                 .weight_bytes = engine->weight_bytes(),
                 .cache_bytes = engine->cache_bytes(),
                 .context = engine->context(),
                 .tokenizer = fmt::format("SentencePiece, {} pieces", tokenizer.vocab_size()),
                 .chat_template = files.chat_template,
                 .load_seconds = engine->load_seconds(),
                 .fusion = options.fusion,
                 .activations = options.activations};
  for (const auto& tensor : files.weights.tensors())
    card.tensors.push_back({tensor.name, std::string(model::name_of(tensor.type)), tensor.shape, tensor.bytes.size()});
  for (std::uint32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    model::StreamingDecoder decoder(tokenizer, true);
    auto text = decoder.push(id);
    card.pieces.push_back(text.empty() ? std::string(tokenizer.piece(id)) : std::move(text));
  }
  next.model = std::make_shared<ModelCard>(std::move(card));
}

void Worker::State::measure_functions() {
  require(engine != nullptr, "open a model first: its device is what is measured");
  const Doing doing(*this, Activity::measuring);
  auto card = *next.device;
  card.functions.clear();
  gpu::Random random(1);
  const auto stop = stopped();
  auto report = progress(Activity::measuring);
  for (const auto& function : functions) {
    if (stop.stop_requested()) throw Stopped();
    report("measuring functions", card.functions.size(), std::size(functions));
    card.functions.push_back({function.name, function.range, largest_ulp(function, random)});
  }
  next.device = std::make_shared<DeviceCard>(std::move(card));
}

}  // namespace glassbox::app::live
