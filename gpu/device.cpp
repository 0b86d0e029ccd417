#include "gpu/device.h"

#include <GLES3/gl32.h>

#include <algorithm>
#include <cstdlib>

#include "gpu/arena.h"
#include "gpu/cache_dir.h"
#include "gpu/egl.h"
#include "gpu/error.h"
#include "gpu/gl_errors.h"
#include "gpu/lanes.h"
#include "gpu/ops/packed_table.h"
#include "gpu/probe.h"
#include "gpu/program_cache.h"
#include "gpu/staging.h"

namespace glassbox::gpu {
namespace {

thread_local Device* current_device = nullptr;

#ifdef GLASSBOX_DEBUG
constexpr bool debug_context = true;
#else
constexpr bool debug_context = false;
#endif

std::string gl_string(GLenum name) {
  const auto* text = reinterpret_cast<const char*>(glGetString(name));
  return text ? text : "unknown";
}

std::uint32_t gl_integer(GLenum name) {
  GLint value = 0;
  glGetIntegerv(name, &value);
  return static_cast<std::uint32_t>(std::max(value, 0));
}

/// The context of a candidate: lane 0 of lanes, where they are allowed and can be had.
std::shared_ptr<EglContext> open_candidate(const EglCandidate& candidate, bool allow_lanes,
                                           std::unique_ptr<Lanes>& lanes) {
  if (allow_lanes && (lanes = Lanes::open(candidate, debug_context))) return lanes->context();
  return std::make_shared<EglContext>(candidate, debug_context);
}

std::shared_ptr<EglContext> open_context(int& index, bool allow_lanes, std::unique_ptr<Lanes>& lanes) {
  const auto candidates = egl_candidates();
  require(!candidates.empty(),
          "no EGL device found; Glassbox needs an OpenGL ES 3.1 driver (Debian: libegl1 libgles2 libgl1-mesa-dri)");
  if (index >= 0) {
    require(static_cast<std::size_t>(index) < candidates.size(), "--device {} does not exist, this machine has 0 to {}",
            index, candidates.size() - 1);
    return open_candidate(candidates[static_cast<std::size_t>(index)], allow_lanes, lanes);
  }
  std::string reasons;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    try {
      auto context = open_candidate(candidates[i], allow_lanes, lanes);
      index = static_cast<int>(i);
      return context;
    } catch (const Error& error) {
      reasons += fmt::format("{}{}", reasons.empty() ? "" : "; ", error.what());
    }
  }
  fail("no OpenGL ES 3.1 device: {}", reasons);
}

}  // namespace

std::string_view name_of(LoadPath path) {
  constexpr std::string_view names[] = {"ssbo", "image", "texel"};
  return names[static_cast<int>(path)];
}

LoadPath parse_load_path(std::string_view text) {
  for (const auto path : {LoadPath::ssbo, LoadPath::image, LoadPath::texel})
    if (text == name_of(path)) return path;
  fail("load path '{}' is unknown, expected ssbo, image or texel", text);
}

std::string_view name_of(TimerSource source) {
  return source == TimerSource::gpu_timestamp ? "gpu timestamps" : "cpu clock";
}

std::unique_ptr<Device> Device::open(const Options& options) { return std::unique_ptr<Device>(new Device(options)); }

Device& Device::current() {
  require(current_device != nullptr, "no device is open on this thread");
  return *current_device;
}

Device::Device(const Options& options) : index_(options.index) {
  require(current_device == nullptr, "a device is open on this thread already");
  const char* environment = std::getenv("GLASSBOX_LIMITS");
  const std::string pretended = !options.limits.empty() ? options.limits : environment ? environment : "";
  // A driver with limits such as are pretended would have no memory objects either.
  context_ = open_context(index_, pretended.empty(), lanes_);
  vendor_ = gl_string(GL_VENDOR);
  renderer_ = gl_string(GL_RENDERER);
  version_ = gl_string(GL_VERSION);
  read_features();
  read_limits();
  if (debug_context) listen_for_gl_errors(features_.es_version >= 320);
  pretend(pretended);
  current_device = this;
  try {
    programs_ = std::make_unique<ProgramCache>(*this);
    staging_ = std::make_unique<Staging>(*this);
    packed_table_ = std::make_unique<PackedTable>();
    arena_ = std::make_shared<Arena>(*this);
    parameters_ = std::make_shared<Arena>(*this, std::size_t{256} << 10);
    const auto timer = probe_timer(*this);
    timer_source_ = timer.source;
    timer_verdict_ = timer.verdict;
    const auto probed = probe_load_path(*this);
    load_path_speed_ = probed.gigabytes_per_second;
    load_path_ = options.load_path.value_or(probed.best);
    require(load_path_ == LoadPath::ssbo || features_.texel_buffers,
            "--load-path {}: this device has no buffer textures{}", name_of(load_path_),
            pretended_.empty() ? "" : fmt::format(" (GLASSBOX_LIMITS={})", pretended_));
    if (options.ssbo_block_bytes > 0 && options.ssbo_block_bytes < limits_.ssbo_block_bytes) {
      limits_.ssbo_block_bytes = options.ssbo_block_bytes;
      arena_ = std::make_shared<Arena>(*this);
    }
    check("opening the device");
  } catch (...) {
    close();
    throw;
  }
}

Device::~Device() { close(); }

/// What lives in the contexts goes before them.
void Device::close() {
  parameters_.reset();
  arena_.reset();
  staging_.reset();
  programs_.reset();
  lanes_.reset();
  current_device = nullptr;
}

unsigned Device::lane_count() const { return lanes_ ? lanes_->count() : 1; }

void Device::read_features() {
  GLint major = 0, minor = 0;
  glGetIntegerv(GL_MAJOR_VERSION, &major);
  glGetIntegerv(GL_MINOR_VERSION, &minor);
  require(major * 10 + minor >= 31, "{}: OpenGL ES {}.{} found, 3.1 needed for compute shaders", renderer_, major,
          minor);
  const auto has = [](std::string_view name) {
    GLint count = 0;
    glGetIntegerv(GL_NUM_EXTENSIONS, &count);
    for (GLint i = 0; i < count; ++i)
      if (name == reinterpret_cast<const char*>(glGetStringi(GL_EXTENSIONS, static_cast<GLuint>(i)))) return true;
    return false;
  };
  features_.es_version = major * 10 + minor >= 32 ? 320 : 310;
  features_.precise = features_.es_version >= 320 || has("GL_EXT_gpu_shader5");
  features_.texel_buffers = features_.es_version >= 320 || has("GL_EXT_texture_buffer") || has("GL_OES_texture_buffer");
  features_.buffer_storage = has("GL_EXT_buffer_storage");
  features_.half_floats = has("GL_NV_gpu_shader5");
  features_.timestamps = has("GL_EXT_disjoint_timer_query");
  features_.program_binary = gl_integer(GL_NUM_PROGRAM_BINARY_FORMATS) > 0;
  features_.software =
      renderer_.find("llvmpipe") != std::string::npos || renderer_.find("softpipe") != std::string::npos;
  if (has("GL_KHR_shader_subgroup")) {
    constexpr GLenum supported_stages = 0x9533, supported_features = 0x9534;
    constexpr std::uint32_t arithmetic = 0x4, shuffle = 0x10;
    const bool in_compute = gl_integer(supported_stages) & GL_COMPUTE_SHADER_BIT;
    features_.subgroups = in_compute && (gl_integer(supported_features) & arithmetic);
    features_.shuffles = in_compute && (gl_integer(supported_features) & shuffle);
  }
  forget_errors();  // a driver without a query above answers with an error, which means "no"
}

void Device::read_limits() {
  limits_.ssbo_bindings = gl_integer(GL_MAX_COMPUTE_SHADER_STORAGE_BLOCKS);
  GLint64 block = 0;
  glGetInteger64v(GL_MAX_SHADER_STORAGE_BLOCK_SIZE, &block);
  limits_.ssbo_block_bytes = static_cast<std::uint64_t>(block);
  limits_.invocations = gl_integer(GL_MAX_COMPUTE_WORK_GROUP_INVOCATIONS);
  limits_.shared_bytes = gl_integer(GL_MAX_COMPUTE_SHARED_MEMORY_SIZE);
  for (GLuint axis = 0; axis < 3; ++axis) {
    GLint count = 0;
    glGetIntegeri_v(GL_MAX_COMPUTE_WORK_GROUP_COUNT, axis, &count);
    limits_.groups[axis] = static_cast<std::uint32_t>(count);
  }
  limits_.images = gl_integer(GL_MAX_COMPUTE_IMAGE_UNIFORMS);
  limits_.textures = gl_integer(GL_MAX_COMPUTE_TEXTURE_IMAGE_UNITS);
  if (features_.texel_buffers) limits_.texel_buffer_texels = gl_integer(GL_MAX_TEXTURE_BUFFER_SIZE);
  limits_.ssbo_alignment = gl_integer(GL_SHADER_STORAGE_BUFFER_OFFSET_ALIGNMENT);
  limits_.ubo_alignment = gl_integer(GL_UNIFORM_BUFFER_OFFSET_ALIGNMENT);
}

void Device::pretend(const std::string& name) {
  if (name.empty()) return;
  const auto at_most = [&](std::uint32_t ssbos, std::uint32_t invocations, std::uint32_t shared) {
    limits_.ssbo_bindings = std::min(limits_.ssbo_bindings, ssbos);
    limits_.invocations = std::min(limits_.invocations, invocations);
    limits_.shared_bytes = std::min(limits_.shared_bytes, shared);
    limits_.groups = {std::min(limits_.groups[0], 65535u), std::min(limits_.groups[1], 65535u),
                      std::min(limits_.groups[2], 65535u)};
    limits_.ssbo_block_bytes = std::min<std::uint64_t>(limits_.ssbo_block_bytes, 1u << 27);
    limits_.ssbo_alignment = limits_.ubo_alignment = 256;
    features_.subgroups = features_.shuffles = features_.half_floats = false;
    features_.es_version = 310;
  };
  if (name == "es31") {
    at_most(4, 128, 16384);
    features_.precise = features_.texel_buffers = features_.buffer_storage = features_.timestamps = false;
    limits_.texel_buffer_texels = 0;
  } else if (name == "v3d") {
    at_most(16, 256, 16384);
    limits_.texel_buffer_texels = std::min<std::uint64_t>(limits_.texel_buffer_texels, 65536);
    features_.timestamps = false;
  } else if (name == "panfrost") {
    at_most(8, 256, 32768);
    limits_.texel_buffer_texels = std::min<std::uint64_t>(limits_.texel_buffer_texels, 65536);
    features_.timestamps = false;
  } else {
    fail("GLASSBOX_LIMITS={} is unknown, expected es31, v3d or panfrost", name);
  }
  pretended_ = name;
}

std::string Device::cache_key() const {
  const auto lanes = lanes_ ? fmt::format("|{} lanes", lanes_->count()) : "";
  return fmt::format("{:016x}",
                     stable_hash(fmt::format("{}|{}|{}|{}{}", vendor_, renderer_, version_, pretended_, lanes)));
}

void Device::finish() { glFinish(); }

void Device::forget_errors() { forget_gl_errors(); }

void Device::check(std::string_view doing) {
  auto error = take_gl_error();
  if (lanes_) {
    const auto other = lanes_->take_error();
    if (error.empty()) error = other;
  }
  require(error.empty(), "{} while {}", error, doing);
}

}  // namespace glassbox::gpu
