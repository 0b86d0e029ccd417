#include "gpu/timer.h"

#include <GLES3/gl32.h>
// After the core header, whose types it uses.
#include <GLES2/gl2ext.h>

#include <chrono>

#include "gpu/egl.h"
#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

template <class Function>
Function* needed(const char* name) {
  auto* function = gl_function<Function>(name);
  require(function != nullptr, "this driver announces EXT_disjoint_timer_query without {}", name);
  return function;
}

}  // namespace

TimestampPool::TimestampPool(std::size_t count) : queries_(count) {
  static auto* const generate = needed<void GL_APIENTRY(GLsizei, GLuint*)>("glGenQueriesEXT");
  generate(static_cast<GLsizei>(count), queries_.data());
}

TimestampPool::~TimestampPool() {
  static auto* const remove = needed<void GL_APIENTRY(GLsizei, const GLuint*)>("glDeleteQueriesEXT");
  remove(static_cast<GLsizei>(queries_.size()), queries_.data());
}

void TimestampPool::stamp(std::size_t index) {
  static auto* const counter = needed<void GL_APIENTRY(GLuint, GLenum)>("glQueryCounterEXT");
  counter(queries_.at(index), GL_TIMESTAMP_EXT);
}

std::uint64_t TimestampPool::read(std::size_t index) {
  static auto* const get = needed<void GL_APIENTRY(GLuint, GLenum, std::uint64_t*)>("glGetQueryObjectui64vEXT");
  std::uint64_t value = 0;
  get(queries_.at(index), GL_QUERY_RESULT_EXT, &value);
  return value;
}

bool TimestampPool::disjoint() const {
  GLint happened = 0;
  glGetIntegerv(GL_GPU_DISJOINT_EXT, &happened);
  return happened != 0;
}

std::uint64_t cpu_nanoseconds() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

}  // namespace glassbox::gpu
