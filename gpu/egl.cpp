#include "gpu/egl.h"

#include <EGL/egl.h>
#include <EGL/eglext.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <set>
#include <string_view>

#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

bool has_extension(const char* list, std::string_view name) {
  if (!list) return false;
  std::string_view rest = list;
  while (!rest.empty()) {
    const auto space = rest.find(' ');
    if (rest.substr(0, space) == name) return true;
    if (space == std::string_view::npos) break;
    rest.remove_prefix(space + 1);
  }
  return false;
}

std::string_view or_unknown(const char* text) { return text ? text : "unknown"; }

EGLDisplay open_display(const EglCandidate& candidate) {
  const auto get_display =
      reinterpret_cast<PFNEGLGETPLATFORMDISPLAYEXTPROC>(eglGetProcAddress("eglGetPlatformDisplayEXT"));
  if (!get_display) return EGL_NO_DISPLAY;
  if (candidate.device) return get_display(EGL_PLATFORM_DEVICE_EXT, candidate.device, nullptr);
  return get_display(EGL_PLATFORM_SURFACELESS_MESA, nullptr, nullptr);
}

/// llvmpipe asks the environment for the number of its threads when a display is initialised: one at a time.
std::mutex initialising;
std::set<EGLDisplay> threadless;

/// LP_NUM_THREADS=0 while it lives.
class NoThreads {
 public:
  NoThreads() { setenv("LP_NUM_THREADS", "0", 1); }
  ~NoThreads() { unsetenv("LP_NUM_THREADS"); }
  NoThreads(const NoThreads&) = delete;
  NoThreads& operator=(const NoThreads&) = delete;
};
// The C library moves the environment only to make it longer, which other threads must not see: once, before them.
[[maybe_unused]] const bool environment_has_room = std::getenv("LP_NUM_THREADS") || (NoThreads(), true);

}  // namespace

ThreadlessDisplay open_without_threads(const EglCandidate& candidate) {
  const EGLDisplay display = open_display(candidate);
  if (display == EGL_NO_DISPLAY) return ThreadlessDisplay::refused;
  const std::lock_guard lock(initialising);
  const bool initialised = eglQueryString(display, EGL_VERSION) != nullptr;
  if (!initialised) eglGetError();
  if (initialised) return threadless.contains(display) ? ThreadlessDisplay::there : ThreadlessDisplay::refused;
  const NoThreads none;
  if (!eglInitialize(display, nullptr, nullptr)) return ThreadlessDisplay::refused;
  threadless.insert(display);
  return ThreadlessDisplay::opened;
}

void close_display(const EglCandidate& candidate) {
  const EGLDisplay display = open_display(candidate);
  const std::lock_guard lock(initialising);
  eglTerminate(display);
  threadless.erase(display);
}

std::vector<EglCandidate> egl_candidates() {
  const char* client = eglQueryString(EGL_NO_DISPLAY, EGL_EXTENSIONS);
  std::vector<EglCandidate> found;
  if (has_extension(client, "EGL_EXT_platform_device")) {
    const auto query = reinterpret_cast<PFNEGLQUERYDEVICESEXTPROC>(eglGetProcAddress("eglQueryDevicesEXT"));
    const auto query_string =
        reinterpret_cast<PFNEGLQUERYDEVICESTRINGEXTPROC>(eglGetProcAddress("eglQueryDeviceStringEXT"));
    EGLDeviceEXT devices[32];
    EGLint count = 0;
    if (query && query(32, devices, &count)) {
      for (EGLint i = 0; i < count; ++i) {
        const char* extensions = query_string ? query_string(devices[i], EGL_EXTENSIONS) : nullptr;
        const bool software = has_extension(extensions, "EGL_MESA_device_software");
        const char* node = has_extension(extensions, "EGL_EXT_device_drm")
                               ? query_string(devices[i], EGL_DRM_DEVICE_FILE_EXT)
                               : nullptr;
        found.push_back({fmt::format("EGL device {}{}", i,
                                     software ? " (software)"
                                     : node   ? fmt::format(" ({})", node)
                                              : ""),
                         devices[i], software});
      }
    }
  }
  if (has_extension(client, "EGL_MESA_platform_surfaceless"))
    found.push_back({"Mesa surfaceless", nullptr, found.empty() || found.back().software});
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.software < b.software; });
  return found;
}

EglContext::EglContext(const EglCandidate& candidate, bool debug) {
  display_ = open_display(candidate);
  const bool initialised = display_ != EGL_NO_DISPLAY && [&] {
    const std::lock_guard lock(initialising);
    return eglInitialize(display_, nullptr, nullptr);
  }();
  if (!initialised) fail("{}: EGL display does not initialise (EGL error {:#x})", candidate.name, eglGetError());
  const char* extensions = eglQueryString(display_, EGL_EXTENSIONS);
  require(has_extension(extensions, "EGL_KHR_surfaceless_context"), "{}: no EGL_KHR_surfaceless_context ({})",
          candidate.name, or_unknown(eglQueryString(display_, EGL_VENDOR)));
  require(eglBindAPI(EGL_OPENGL_ES_API), "{}: EGL has no OpenGL ES", candidate.name);

  EGLConfig config = EGL_NO_CONFIG_KHR;
  if (!has_extension(extensions, "EGL_KHR_no_config_context")) {
    const EGLint wanted[] = {EGL_RENDERABLE_TYPE, EGL_OPENGL_ES3_BIT, EGL_SURFACE_TYPE, EGL_DONT_CARE, EGL_NONE};
    EGLint count = 0;
    require(eglChooseConfig(display_, wanted, &config, 1, &count) && count > 0, "{}: no EGL config for OpenGL ES 3",
            candidate.name);
  }
  for (const EGLint minor : {2, 1}) {
    // EGL before 1.5 knows no debug attribute: it is named only where it is wanted.
    const EGLint attributes[] = {EGL_CONTEXT_MAJOR_VERSION,
                                 3,
                                 EGL_CONTEXT_MINOR_VERSION,
                                 minor,
                                 debug ? EGL_CONTEXT_OPENGL_DEBUG : EGL_NONE,
                                 EGL_TRUE,
                                 EGL_NONE};
    context_ = eglCreateContext(display_, config, EGL_NO_CONTEXT, attributes);
    if (context_ != EGL_NO_CONTEXT) break;
  }
  if (context_ == EGL_NO_CONTEXT)
    fail("{}: no OpenGL ES 3.1 context (EGL error {:#x}); Glassbox computes in ES 3.1 compute shaders", candidate.name,
         eglGetError());
  try {
    make_current();
  } catch (const Error&) {
    eglDestroyContext(display_, context_);
    throw;
  }
}

EglContext::~EglContext() {
  if (is_current()) eglMakeCurrent(display_, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
  eglDestroyContext(display_, context_);
  // The display stays initialised: EGL displays are shared by the whole process, a window's included.
}

void EglContext::make_current() const {
  if (!eglMakeCurrent(display_, EGL_NO_SURFACE, EGL_NO_SURFACE, context_))
    fail("cannot make the OpenGL ES context current (EGL error {:#x})", eglGetError());
}

bool EglContext::is_current() const { return eglGetCurrentContext() == context_; }

void require_current(const std::weak_ptr<const EglContext>& context) {
  const auto alive = context.lock();
  require(alive != nullptr, "the device of this array is closed");
  require(alive->is_current(), "the device of this array belongs to another thread");
}

void* gl_function_address(const char* name) { return reinterpret_cast<void*>(eglGetProcAddress(name)); }

}  // namespace glassbox::gpu
