#pragma once

#include "app/cli/command.h"

namespace glassbox::app {

/// `glassbox kernels tune`: adds itself to `kernels`.
Command add_kernels_tune(CLI::App& kernels, CLI::App*& self);

}  // namespace glassbox::app
