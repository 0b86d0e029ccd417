#include "app/ui/preferences.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "app/cli/table.h"
#include "model/sampling_json.h"

namespace glassbox::app::ui {
namespace {

using nlohmann::json;

template <class T>
void take(const json& from, const char* name, T& value) {
  const auto found = from.find(name);
  if (found == from.end()) return;
  try {
    value = found->get<T>();
  } catch (const json::exception&) {
    // Of another type: the default stands.
  }
}

}  // namespace

Preferences Preferences::load(const std::filesystem::path& file) {
  Preferences p;
  std::ifstream stream(file);
  const std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  const auto from = json::parse(text, nullptr, false);
  if (!from.is_object()) return p;
  take(from, "width", p.width);
  take(from, "height", p.height);
  take(from, "maximized", p.maximized);
  take(from, "zoom", p.zoom);
  bool light = false;
  take(from, "light", light);
  p.theme = light ? Theme::light : Theme::dark;
  int tint = 0;
  take(from, "tint", tint);
  p.tint = static_cast<Tint>(std::clamp(tint, 0, static_cast<int>(Tint::error)));
  take(from, "sidebar", p.sidebar);
  take(from, "inspector", p.inspector);
  take(from, "sidebar_width", p.sidebar_width);
  take(from, "inspector_width", p.inspector_width);
  take(from, "panel", p.panel);
  take(from, "recent_models", p.recent_models);
  take(from, "conversation", p.conversation);
  take(from, "system_prompt", p.system_prompt);
  if (const auto sampling = from.find("sampling"); sampling != from.end() && sampling->is_object())
    p.settings.sampling = model::sampling_from_json(*sampling);
  take(from, "max_tokens", p.settings.max_tokens);
  take(from, "time_kernels", p.watching.time_kernels);
  take(from, "check_every", p.watching.check_every);
  p.width = std::clamp(p.width, 400, 16384);
  p.height = std::clamp(p.height, 300, 16384);
  p.zoom = std::clamp(p.zoom, 0.5F, 3.0F);
  p.sidebar_width = std::clamp(p.sidebar_width, 160.0F, 600.0F);
  p.inspector_width = std::clamp(p.inspector_width, 280.0F, 4000.0F);
  return p;
}

void Preferences::save(const std::filesystem::path& file) const {
  const json to = {{"width", width},
                   {"height", height},
                   {"maximized", maximized},
                   {"zoom", zoom},
                   {"light", theme == Theme::light},
                   {"tint", static_cast<int>(tint)},
                   {"sidebar", sidebar},
                   {"inspector", inspector},
                   {"sidebar_width", sidebar_width},
                   {"inspector_width", inspector_width},
                   {"panel", panel},
                   {"recent_models", recent_models},
                   {"conversation", conversation},
                   {"system_prompt", system_prompt},
                   {"sampling", model::to_json(settings.sampling)},
                   {"max_tokens", settings.max_tokens},
                   {"time_kernels", watching.time_kernels},
                   {"check_every", watching.check_every}};
  auto partial = file;
  partial += ".new";
  write_text(partial.string(), to.dump(2, ' ', false, json::error_handler_t::replace) + '\n');
  std::filesystem::rename(partial, file);
}

void Preferences::remember_model(const std::string& path) {
  constexpr std::size_t most = 10;
  std::erase(recent_models, path);
  recent_models.insert(recent_models.begin(), path);
  if (recent_models.size() > most) recent_models.resize(most);
}

}  // namespace glassbox::app::ui
