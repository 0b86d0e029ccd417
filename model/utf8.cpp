#include "model/utf8.h"

#include <cstdint>

namespace glassbox::model {

Utf8Head decode_utf8(std::string_view text) {
  constexpr char32_t replacement = 0xFFFD;
  if (text.empty()) return {Utf8State::incomplete, replacement, 0};
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return {Utf8State::valid, lead, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Utf8State::invalid, replacement, 1};

  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t code_point = lead & (0x7F >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {Utf8State::incomplete, replacement, i};
    // The second byte alone tells overlong forms, surrogates and what lies past U+10FFFF.
    const std::uint8_t low = i > 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const std::uint8_t high = i > 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (byte(i) < low || byte(i) > high) return {Utf8State::invalid, replacement, 1};
    code_point = code_point << 6 | (byte(i) & 0x3F);
  }
  return {Utf8State::valid, code_point, length};
}

std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Head head = decode_utf8(text.substr(at));
    if (head.state != Utf8State::valid) return at;
    at += head.length;
  }
  return std::nullopt;
}

void append_utf8(std::string& text, char32_t code_point) {
  const auto append = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (code_point < 0x80) {
    append(code_point);
    return;
  }
  const int continuations = code_point < 0x800 ? 1 : code_point < 0x10000 ? 2 : 3;
  append((0xF00 >> (continuations + 1) & 0xFF) | code_point >> (6 * continuations));
  for (int i = continuations - 1; i >= 0; --i) append(0x80 | (code_point >> (6 * i) & 0x3F));
}

std::u32string to_utf32(std::string_view text) {
  std::u32string code_points;
  code_points.reserve(text.size());
  while (!text.empty()) {
    const Utf8Head head = decode_utf8(text);
    code_points += head.code_point;
    text.remove_prefix(head.state == Utf8State::valid ? head.length : 1);
  }
  return code_points;
}

std::string to_utf8(std::u32string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (const char32_t code_point : text) append_utf8(bytes, code_point);
  return bytes;
}

}  // namespace glassbox::model
