#include "model/sampling_json.h"

#include "gpu/error.h"

namespace glassbox::model {
namespace {

double shortest(float value) { return std::stod(fmt::format("{}", value)); }

template <class T>
void take(const nlohmann::json& json, const char* name, T& value) {
  if (const auto found = json.find(name); found != json.end() && found->is_number()) value = found->get<T>();
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

SamplingOptions sampling_from_json(const nlohmann::json& json) {
  SamplingOptions options;
  take(json, "temperature", options.temperature);
  take(json, "top_k", options.top_k);
  take(json, "top_p", options.top_p);
  take(json, "min_p", options.min_p);
  take(json, "typical_p", options.typical_p);
  take(json, "repeat_last_n", options.repeat_last_n);
  take(json, "repeat_penalty", options.repeat_penalty);
  take(json, "presence_penalty", options.presence_penalty);
  take(json, "frequency_penalty", options.frequency_penalty);
  try {
    options.validate();
    return options;
  } catch (const Error&) {
    return {};
  }
}

}  // namespace glassbox::model
