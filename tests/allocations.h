#pragma once

#include <cstddef>

namespace glassbox::testing {

/// How often this test binary called operator new, on any thread and wherever: it replaces the program's own.
std::size_t allocations();

/// Whether they are counted: AddressSanitizer has an operator new of its own.
#ifdef __SANITIZE_ADDRESS__
inline constexpr bool counts_allocations = false;
#else
inline constexpr bool counts_allocations = true;
#endif

}  // namespace glassbox::testing
