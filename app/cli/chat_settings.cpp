#include "app/cli/chat_settings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <random>
#include <type_traits>
#include <variant>

#include "gpu/error.h"

namespace glassbox::app {
namespace {

using model::SamplingOptions;

struct Flag {
  std::string_view name;
  std::variant<float SamplingOptions::*, std::int32_t SamplingOptions::*> member;
};

constexpr std::array<Flag, 9> flags{{{"temp", &SamplingOptions::temperature},
                                     {"top-k", &SamplingOptions::top_k},
                                     {"top-p", &SamplingOptions::top_p},
                                     {"min-p", &SamplingOptions::min_p},
                                     {"typical", &SamplingOptions::typical_p},
                                     {"repeat-last-n", &SamplingOptions::repeat_last_n},
                                     {"repeat-penalty", &SamplingOptions::repeat_penalty},
                                     {"presence-penalty", &SamplingOptions::presence_penalty},
                                     {"frequency-penalty", &SamplingOptions::frequency_penalty}}};

template <class T>
T parse(std::string_view name, std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  require(error == std::errc() && end == text.data() + text.size(), "{} expects {}, found '{}'", name,
          std::is_integral_v<T> ? "a whole number" : "a number", text);
  return value;
}

}  // namespace

void set_by_name(model::ChatSettings& settings, std::string_view name, std::string_view value) {
  auto changed = settings;
  const auto* flag = std::find_if(flags.begin(), flags.end(), [&](const Flag& f) { return f.name == name; });
  if (flag != flags.end()) {
    std::visit(
        [&](auto member) {
          auto& target = changed.sampling.*member;
          target = parse<std::remove_reference_t<decltype(target)>>(name, value);
        },
        flag->member);
  } else if (name == "seed") {
    const auto seed = parse<std::int64_t>(name, value);
    require(seed >= -1, "seed expects a number or -1 for a fresh one, found {}", seed);
    changed.seed = seed < 0 ? std::random_device{}() : static_cast<std::uint64_t>(seed);
  } else if (name == "n-predict") {
    const auto count = parse<std::int32_t>(name, value);
    require(count > 0 || count == -1, "n-predict expects a number of tokens, or -1 for no limit, found {}", count);
    changed.max_tokens = count < 0 ? 0 : static_cast<std::size_t>(count);
  } else {
    fail("there is no setting '{}', only: {}", name, describe(settings));
  }
  changed.sampling.validate();
  settings = changed;
}

std::string describe(const model::ChatSettings& settings) {
  std::string text;
  for (const auto& flag : flags)
    std::visit([&](auto member) { text += fmt::format("{} {}, ", flag.name, settings.sampling.*member); }, flag.member);
  return text + fmt::format("seed {}, n-predict {}", settings.seed,
                            settings.max_tokens ? std::to_string(settings.max_tokens) : "-1");
}

}  // namespace glassbox::app
