#include "gpu/program_cache.h"

#include <GLES3/gl32.h>

#include <fstream>
#include <iterator>
#include <vector>

#include "gpu/cache_dir.h"
#include "gpu/error.h"
#include "gpu/gl_errors.h"
#include "gpu/lanes.h"

namespace glassbox::gpu {
namespace {

std::string info_log(GLuint object, bool program) {
  GLint length = 0;
  (program ? glGetProgramiv : glGetShaderiv)(object, GL_INFO_LOG_LENGTH, &length);
  std::string log(static_cast<std::size_t>(std::max(length, 1)), '\0');
  (program ? glGetProgramInfoLog : glGetShaderInfoLog)(object, length, nullptr, log.data());
  log.resize(std::min(log.size(), log.find('\0')));
  // One line: the first that complains.
  auto at = log.find("error");
  if (at == std::string::npos) at = log.find("ERROR");
  const auto begin = at == std::string::npos ? 0 : log.rfind('\n', at) + 1;
  return log.substr(begin, log.find('\n', begin) - begin);
}

std::filesystem::path binary_path(const std::filesystem::path& directory, const Device& device,
                                  const std::string& glsl) {
  return directory / fmt::format("{}-{:016x}.bin", device.cache_key(), stable_hash(glsl));
}

bool load_binary(GLuint program, const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  GLenum format = 0;
  if (!file.read(reinterpret_cast<char*>(&format), sizeof format)) return false;
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  glProgramBinary(program, format, bytes.data(), static_cast<GLsizei>(bytes.size()));
  GLint linked = 0;
  glGetProgramiv(program, GL_LINK_STATUS, &linked);
  forget_gl_errors();  // a binary of another driver build, or a broken one, is refused: compile instead
  return linked != 0;
}

void save_binary(GLuint program, const std::filesystem::path& path) {
  GLint length = 0;
  glGetProgramiv(program, GL_PROGRAM_BINARY_LENGTH, &length);
  if (length <= 0) return;
  std::vector<char> bytes(static_cast<std::size_t>(length));
  GLenum format = 0;
  glGetProgramBinary(program, length, nullptr, &format, bytes.data());
  // Written beside and renamed, so that two processes and a full disk leave whole files or none.
  auto partial = path;
  partial += fmt::format(
      ".{}", static_cast<unsigned long>(stable_hash(path.string()) ^ reinterpret_cast<std::uintptr_t>(&bytes)));
  std::ofstream file(partial, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&format), sizeof format).write(bytes.data(), length);
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(partial, path, error);
  if (!file || error) std::filesystem::remove(partial, error);
}

struct Linked {
  unsigned id = 0;
  bool from_disk = false;
  std::string complaint;  ///< where id is 0
};

/// In the context of this thread.
Linked link(const std::string& glsl, const std::optional<std::filesystem::path>& path) {
  const GLuint program = glCreateProgram();
  if (path && load_binary(program, *path)) return {program, true, {}};
  const GLuint shader = glCreateShader(GL_COMPUTE_SHADER);
  const char* text = glsl.c_str();
  glShaderSource(shader, 1, &text, nullptr);
  glCompileShader(shader);
  GLint compiled = 0, linked = 0;
  glGetShaderiv(shader, GL_COMPILE_STATUS, &compiled);
  std::string complaint;
  if (!compiled) {
    complaint = info_log(shader, false);
  } else {
    glProgramParameteri(program, GL_PROGRAM_BINARY_RETRIEVABLE_HINT, GL_TRUE);
    glAttachShader(program, shader);
    glLinkProgram(program);
    glGetProgramiv(program, GL_LINK_STATUS, &linked);
    if (!linked) complaint = info_log(program, true);
    glDetachShader(program, shader);
  }
  glDeleteShader(shader);
  if (linked) return {program, false, {}};
  glDeleteProgram(program);
  return {0, false, complaint};
}

}  // namespace

ProgramCache::~ProgramCache() {
  on_each_lane(device_.lanes(), [&](unsigned lane) {
    for (const auto& [text, program] : programs_) glDeleteProgram(program->ids[lane]);
  });
}

const KernelBody& ProgramCache::body(const Kernel& kernel) {
  const auto key = fmt::format("{}\n{}\n{}\n{}", kernel.name, fmt::join(kernel.inputs, ","),
                               fmt::join(kernel.outputs, ","), kernel.body);
  const auto found = bodies_.find(key);
  if (found != bodies_.end()) return *found->second;
  return *bodies_.emplace(key, std::make_unique<KernelBody>(parse_body(kernel))).first->second;
}

const Program& ProgramCache::program(const Kernel& kernel, const Variant& variant) {
  const auto glsl = generate_glsl(device_, kernel, body(kernel), variant);
  const auto found = programs_.find(glsl);
  if (found != programs_.end()) return *found->second;
  std::optional<std::filesystem::path> path;
  if (device_.features().program_binary)
    if (const auto directory = cache_directory("programs")) path = binary_path(*directory, device_, glsl);
  std::vector<Linked> linked(device_.lane_count());
  on_each_lane(device_.lanes(), [&](unsigned lane) { linked[lane] = link(glsl, path); });
  std::vector<unsigned> ids;
  for (const auto& each : linked) {
    require(each.id != 0, "[{}] does not compile on {}: {}", kernel.name, device_.renderer(), each.complaint);
    ids.push_back(each.id);
  }
  ++(linked[0].from_disk ? statistics_.from_disk : statistics_.compiled);
  if (path && !linked[0].from_disk) save_binary(ids[0], *path);
  device_.check(fmt::format("compiling {}", kernel.name));
  return *programs_.emplace(glsl, std::make_unique<Program>(Program{std::move(ids), glsl})).first->second;
}

}  // namespace glassbox::gpu
