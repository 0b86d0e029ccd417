#pragma once

#include <string>

namespace glassbox::gpu {

/// From now on errors of this thread's context are told with the driver's words, where it has KHR_debug. For contexts
/// made for debugging: others may stay silent.
void listen_for_gl_errors(bool es32);

/// What the driver of this thread's context has reported since the last call: "OpenGL error 0x0502"; empty: nothing.
std::string take_gl_error();
/// Forgets it: after a call that a driver may rightly refuse.
void forget_gl_errors();

}  // namespace glassbox::gpu
