#include "model/sampling_json.h"

#include "gpu/error.h"

namespace glassbox::model {
namespace {

double shortest(float value) { return std::stod(fmt::format("{}", value)); }

template <class T>
void take(const nlohmann::json& settings, const char* name, T& value) {
  if (const auto found = settings.find(name); found != settings.end() && found->is_number()) value = found->get<T>();
}

}  // namespace

nlohmann::json to_json(const SamplingOptions& options) {
  return {{"temperature", shortest(options.temperature)},
          {"top_k", options.top_k},
          {"top_p", shortest(options.top_p)},
          {"min_p", shortest(options.min_p)},
          {"typical_p", shortest(options.typical_p)},
          {"repeat_last_n", options.repeat_last_n},
          {"repeat_penalty", shortest(options.repeat_penalty)},
          {"presence_penalty", shortest(options.presence_penalty)},
          {"frequency_penalty", shortest(options.frequency_penalty)}};
}

SamplingOptions sampling_from_json(const nlohmann::json& settings) {
  SamplingOptions options;
  take(settings, "temperature", options.temperature);
  take(settings, "top_k", options.top_k);
  take(settings, "top_p", options.top_p);
  take(settings, "min_p", options.min_p);
  take(settings, "typical_p", options.typical_p);
  take(settings, "repeat_last_n", options.repeat_last_n);
  take(settings, "repeat_penalty", options.repeat_penalty);
  take(settings, "presence_penalty", options.presence_penalty);
  take(settings, "frequency_penalty", options.frequency_penalty);
  try {
    options.validate();
    return options;
  } catch (const Error&) {
    return {};
  }
}

}  // namespace glassbox::model
