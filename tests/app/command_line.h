#pragma once

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/process.h"
#include "tests/support.h"

// The program itself, as a shell runs it.
namespace glassbox::testing {

inline ProcessResult glassbox(const Arguments& arguments, const Environment& environment = {}) {
  Arguments all{GLASSBOX_BINARY};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run_process(all, "", environment);
}

/// What a run that succeeds prints on stdout; nothing stands on stderr.
inline std::string output_of(const Arguments& arguments, const Environment& environment = {}) {
  const auto result = glassbox(arguments, environment);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  return result.out;
}
inline nlohmann::json json_of(const Arguments& arguments, const Environment& environment = {}) {
  return nlohmann::json::parse(output_of(arguments, environment));
}

/// Exit code 2, nothing on stdout and one line on stderr, which contains `part`.
inline void expect_refused(const ProcessResult& result, const std::string& part) {
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, ::testing::HasSubstr(part));
  EXPECT_TRUE(result.err.starts_with("glassbox: ")) << result.err;
  EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << result.err;
}

}  // namespace glassbox::testing
