#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "model/engine.h"
#include "tests/model/tiny_llama.h"

namespace glassbox::testing {

/// Ids that differ from one another as far as they go.
inline std::vector<std::uint32_t> some_ids(std::size_t count, std::uint32_t first = 3) {
  std::vector<std::uint32_t> ids(count);
  for (std::size_t i = 0; i < count; ++i) ids[i] = (first + static_cast<std::uint32_t>(i) * 37) % 288;
  return ids;
}

/// Engines of a tiny Llama that a test may change first, one at a time.
class TinyEngine : public ::testing::Test {
 protected:
  model::Engine& open(const model::EngineOptions& changes = {},
                      const nlohmann::json& patch = nlohmann::json::object()) {
    engine_.reset();
    auto options = changes;
    options.model = tiny.write(dir.path() / "tiny", patch);
    return *(engine_ = std::make_unique<model::Engine>(options));
  }
  model::Engine& again() { return *engine_; }

  TinyLlama tiny;
  TempDir dir;

 private:
  std::unique_ptr<model::Engine> engine_;
};

}  // namespace glassbox::testing
