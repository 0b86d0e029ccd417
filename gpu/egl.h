#pragma once

#include <memory>
#include <string>
#include <vector>

namespace glassbox::gpu {

/// A place where an OpenGL ES context without a window can be made.
struct EglCandidate {
  std::string name;        ///< EGL vendor or platform, for the list `glassbox device` prints
  void* device = nullptr;  ///< EGLDeviceEXT; null: Mesa's surfaceless platform
  bool software = false;   ///< EGL says it computes on the CPU
};

/// Every candidate, hardware first. Empty where no EGL is installed.
std::vector<EglCandidate> egl_candidates();

/// What became of a wish for a display of llvmpipe without worker threads: it computes in the calling thread.
enum class ThreadlessDisplay { refused /* not to be had, or opened by somebody with threads */, there, opened };
ThreadlessDisplay open_without_threads(const EglCandidate& candidate);
/// Undoes ThreadlessDisplay::opened, before anybody else uses the display.
void close_display(const EglCandidate& candidate);

/// A surfaceless ES >= 3.1 context, current on the thread that made it. Throws Error where there is none.
class EglContext {
 public:
  EglContext(const EglCandidate& candidate, bool debug);
  ~EglContext();
  EglContext(const EglContext&) = delete;
  EglContext& operator=(const EglContext&) = delete;

  void make_current() const;
  bool is_current() const;  ///< on this thread

 private:
  void* display_ = nullptr;
  void* context_ = nullptr;
};

/// Throws Error unless the context lives and is current on this thread: GL names mean nothing elsewhere.
void require_current(const std::weak_ptr<const EglContext>& context);

/// Address of a GL function that not every ES 3.1 driver has; null where it is missing.
template <class Function>
Function* gl_function(const char* name);
void* gl_function_address(const char* name);
template <class Function>
Function* gl_function(const char* name) {
  return reinterpret_cast<Function*>(gl_function_address(name));
}

}  // namespace glassbox::gpu
