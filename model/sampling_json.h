#pragma once

#include <nlohmann/json.hpp>

#include "model/sampler.h"

namespace glassbox::model {

/// The chain's settings by their names, floats as their shortest decimals: 0.8 and not 0.800000011920929.
nlohmann::json to_json(const SamplingOptions& options);
/// Fields that are missing or of another type keep their default; all do where the settings are not valid together.
SamplingOptions sampling_from_json(const nlohmann::json& settings);

}  // namespace glassbox::model
