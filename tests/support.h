#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <limits>
#include <string>

#include "gpu/error.h"

namespace glassbox::testing {

inline constexpr double infinity = std::numeric_limits<double>::infinity();

/// Reference models, tokenizers and oracles that live beside the checkout: $GLASSBOX_SHARED, or ../shared.
std::filesystem::path shared_dir();
/// Small data of the project's own: tests/data.
std::filesystem::path data_dir();
/// True on a build server, where a missing shared_dir() is a failure and not a skip.
bool on_ci();

/// A directory of its own that is removed with everything in it.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace glassbox::testing

/// Skips the test where ../shared is absent; on CI that is a failure.
#define REQUIRE_SHARED(relative)                                                                                       \
  do {                                                                                                                 \
    if (!std::filesystem::exists(::glassbox::testing::shared_dir() / (relative))) {                                    \
      if (::glassbox::testing::on_ci()) FAIL() << "missing on CI: " << ::glassbox::testing::shared_dir() / (relative); \
      GTEST_SKIP() << "needs " << ::glassbox::testing::shared_dir() / (relative);                                      \
    }                                                                                                                  \
  } while (false)

/// The expression throws glassbox::Error, its message is one line and contains `part`.
#define EXPECT_ERROR(expression, part)                                                       \
  do {                                                                                       \
    try {                                                                                    \
      (void)(expression);                                                                    \
      ADD_FAILURE() << #expression << " threw nothing, expected an Error with: " << (part);  \
    } catch (const ::glassbox::Error& error) {                                               \
      const std::string message = error.what();                                              \
      EXPECT_NE(message.find(part), std::string::npos) << "the message was: " << message;    \
      EXPECT_EQ(message.find('\n'), std::string::npos) << "more than one line: " << message; \
    }                                                                                        \
  } while (false)
