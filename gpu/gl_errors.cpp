#include "gpu/gl_errors.h"

#include <GLES3/gl32.h>

#include <string_view>
#include <utility>

#include "gpu/egl.h"
#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

thread_local std::string first_message;

void GL_APIENTRY on_debug_message(GLenum source, GLenum type, GLuint, GLenum, GLsizei, const GLchar* message,
                                  const void*) {
  // A shader's errors are told by its log.
  if (type != GL_DEBUG_TYPE_ERROR || source == GL_DEBUG_SOURCE_SHADER_COMPILER) return;
  if (first_message.empty()) first_message = std::string_view(message).substr(0, std::string_view(message).find('\n'));
}

}  // namespace

void listen_for_gl_errors(bool es32) {
  first_message.clear();
  auto* const listen = gl_function<void GL_APIENTRY(GLDEBUGPROC, const void*)>(es32 ? "glDebugMessageCallback"
                                                                                    : "glDebugMessageCallbackKHR");
  if (!listen) return;
  glEnable(GL_DEBUG_OUTPUT);
  glEnable(GL_DEBUG_OUTPUT_SYNCHRONOUS);  // on the thread that made the mistake
  listen(on_debug_message, nullptr);
}

void forget_gl_errors() {
  constexpr int most_flags = 8;  // a lost context answers with an error for ever
  for (int i = 0; i < most_flags && glGetError() != GL_NO_ERROR; ++i) {
  }
  first_message.clear();
}

std::string take_gl_error() {
  if (!first_message.empty()) {
    auto told = fmt::format("OpenGL error ({})", first_message);
    forget_gl_errors();
    return told;
  }
  const GLenum error = glGetError();
  if (error == GL_NO_ERROR) return {};
  return error == GL_OUT_OF_MEMORY ? "out of device memory" : fmt::format("OpenGL error {:#06x}", error);
}

}  // namespace glassbox::gpu
