#include "app/ui/token_walk.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/utf8.h"

namespace glassbox::app::ui {

void walk_token(Frame& frame, int step) {
  const auto place = frame.place();
  if (!place) return;
  const auto& messages = frame.now.thread->messages;
  auto at = std::find_if(messages.begin(), messages.end(), [&](const auto& m) { return m->id == place->message; });
  if (step < 0 ? place->token > 0 : place->token + 1 < (*at)->tokens.size()) {
    frame.view.token = live::TokenPlace{place->message, step < 0 ? place->token - 1 : place->token + 1};
    return;
  }
  while (step < 0 ? at != messages.begin() : at + 1 != messages.end()) {
    at += step < 0 ? -1 : 1;
    if ((*at)->tokens.empty()) continue;
    frame.view.token = live::TokenPlace{(*at)->id, step < 0 ? (*at)->tokens.size() - 1 : 0};
    return;
  }
}

std::string visible_text(std::string_view text) {
  if (text.empty()) return "(no text)";
  std::string result;
  while (!text.empty()) {
    const auto head = model::decode_utf8(text);
    const auto point = head.state == model::Utf8State::valid ? head.code_point : U'\uFFFD';
    if (point == ' ')
      result += "·";
    else if (point == '\n')
      result += "↵";
    else if (point == '\t')
      result += "→";
    else if (point < ' ' || point == 0x7f)
      result += fmt::format("\\x{:02x}", static_cast<unsigned>(point));
    else
      model::append_utf8(result, point);
    text.remove_prefix(std::max<std::size_t>(head.length, 1));
  }
  return result;
}

}  // namespace glassbox::app::ui
