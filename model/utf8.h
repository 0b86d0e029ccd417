#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace glassbox::model {

/// What the head of a byte string is, by the Unicode Standard, table 3-7 (no overlong forms, no surrogates).
enum class Utf8State {
  valid,       ///< a whole code point
  incomplete,  ///< the proper beginning of one: more bytes could complete it
  invalid      ///< no bytes that follow could make it one
};

struct Utf8Head {
  Utf8State state = Utf8State::incomplete;
  char32_t code_point = 0;  ///< U+FFFD unless valid
  std::size_t length = 0;   ///< bytes it takes; 1 when invalid, what there is of it when incomplete
};

/// The first code point of `text`; an empty text is incomplete with length 0.
Utf8Head decode_utf8(std::string_view text);

/// Byte offset of the first byte that is not part of valid UTF-8, if there is one.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

/// Appends the encoding of a code point (U+0000 to U+10FFFF, no surrogate).
void append_utf8(std::string& text, char32_t code_point);

/// Code points of `text`; each byte that is not valid UTF-8 becomes U+FFFD.
std::u32string to_utf32(std::string_view text);
std::string to_utf8(std::u32string_view text);

}  // namespace glassbox::model
