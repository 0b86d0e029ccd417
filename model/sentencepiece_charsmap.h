#pragma once

#include <string_view>

namespace glassbox::model {

/// Throws Error naming `source` unless the library can walk a normaliser's precompiled_charsmap safely: a 32-bit
/// length, a Darts double-array trie of that many bytes, and the NUL-separated replacements its values point into. The
/// library itself trusts all of it: offsets, values, and that at most 32 rules are prefixes of one another.
void check_charsmap(std::string_view charsmap, std::string_view source);

}  // namespace glassbox::model
