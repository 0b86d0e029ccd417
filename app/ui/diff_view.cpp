#include "app/ui/diff_view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>
#include <limits>
#include <map>

namespace glassbox::app::ui {

std::optional<Checked> checked_token(const Frame& frame) {
  const auto place = frame.place();
  if (!place) return std::nullopt;
  for (const auto& message : frame.now.thread->messages) {
    if (message->id != place->message) continue;
    Checked shown{*place, message->tokens[place->token], message->tokens[place->token]->check};
    if (shown.check || frame.view.token) return shown;
    for (std::size_t i = place->token; i-- > 0;)
      if (const auto& token = message->tokens[i]; token->check)
        return Checked{{place->message, i}, token, token->check, true};
    return shown;
  }
  return std::nullopt;
}

double strain(const gpu::KernelError& error) {
  const auto part = [](double value, double bound) {
    if (!std::isfinite(bound) || bound >= 1e300) return 0.0;  // not bounded
    if (bound > 0) return value / bound;
    return value > 0 ? std::numeric_limits<double>::infinity() : 0.0;
  };
  return std::max(part(error.isolated.nmse, error.tolerance.nmse),
                  part(error.isolated.max_abs, error.tolerance.max_abs));
}

std::optional<std::size_t> worst_kernel(const live::TokenCheck& check) {
  if (check.kernels.empty()) return std::nullopt;
  if (check.first_divergent && *check.first_divergent < check.kernels.size()) return check.first_divergent;
  std::optional<std::size_t> worst;
  const auto kept = [&](std::size_t i) { return i < check.values.size() && !check.values[i].computed.empty(); };
  for (std::size_t i = 0; i < check.kernels.size(); ++i)
    if (!worst || (kept(i) && !kept(*worst)) ||
        (kept(i) == kept(*worst) && strain(check.kernels[i]) > strain(check.kernels[*worst])))
      worst = i;
  return worst;
}

std::vector<std::string> kernel_names(const live::TokenCheck& check, const gpu::ProfiledRun* run) {
  std::map<std::pair<std::string_view, int>, const gpu::ProfiledDispatch*> longest;
  if (run)
    for (const auto& dispatch : run->dispatches) {
      auto& most = longest[{dispatch.primitive, dispatch.layer}];
      if (!most || dispatch.duration_us > most->duration_us) most = &dispatch;
    }
  std::vector<std::string> names;
  for (const auto& error : check.kernels) {
    const auto found = longest.find({error.name, error.layer});
    names.push_back(found == longest.end() ? error.name : found->second->kernel);
  }
  return names;
}

std::size_t viewing_columns(const gpu::Shape& shape) {
  const auto count = gpu::element_count(shape);
  if (count == 0) return 1;
  const auto last = shape.empty() ? 1 : shape.back();
  if (count / last > 2) return last;
  return std::min<std::size_t>(count,
                               std::bit_ceil(static_cast<std::size_t>(std::sqrt(2.0 * static_cast<double>(count)))));
}

std::string index_text(const gpu::Shape& shape, std::size_t flat) {
  std::vector<std::size_t> index(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    index[axis] = flat % shape[axis];
    flat /= shape[axis];
  }
  return fmt::format("[{}]", fmt::join(index, ", "));
}

std::filesystem::path default_save_path(const std::filesystem::path& home, const gpu::KernelError& error) {
  auto name = error.name;
  for (auto& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '-') c = '_';
  return home / fmt::format("glassbox-{:05}-{}.safetensors", error.index, name);
}

CheckMode mode_of(const live::Watching& watching) {
  return watching.check_every == 0   ? CheckMode::on_demand
         : watching.check_every == 1 ? CheckMode::every
                                     : CheckMode::every_nth;
}

live::Watching with_mode(live::Watching watching, CheckMode mode, std::size_t nth) {
  watching.check_every = mode == CheckMode::on_demand ? 0
                         : mode == CheckMode::every   ? 1
                                                      : std::max<std::size_t>(nth, 2);
  return watching;
}

}  // namespace glassbox::app::ui
