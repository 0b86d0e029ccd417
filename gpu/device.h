#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace glassbox::gpu {

class Arena;
class EglContext;
class Lanes;
class PackedTable;
class ProgramCache;
class Staging;

/// How a kernel reads its inputs: the same bytes through three doors (DESIGN: their speed differs by 5x on llvmpipe).
enum class LoadPath : std::uint8_t { ssbo, image, texel };
std::string_view name_of(LoadPath path);
/// "ssbo", "image" or "texel"; throws Error for anything else.
LoadPath parse_load_path(std::string_view text);

/// Where a kernel's time comes from. cpu_clock: glFinish before and after each dispatch.
enum class TimerSource : std::uint8_t { gpu_timestamp, cpu_clock };
std::string_view name_of(TimerSource source);

/// What the driver allows, or what GLASSBOX_LIMITS pretends it allows.
struct Limits {
  std::uint32_t ssbo_bindings = 4;            ///< storage blocks a compute shader
  std::uint64_t ssbo_block_bytes = 1u << 27;  ///< largest range bound at one of them
  std::uint32_t invocations = 128;            ///< a workgroup
  std::uint32_t shared_bytes = 16384;
  std::array<std::uint32_t, 3> groups = {65535, 65535, 65535};
  std::uint32_t images = 0;               ///< image uniforms a compute shader
  std::uint32_t textures = 0;             ///< texture units a compute shader
  std::uint64_t texel_buffer_texels = 0;  ///< 0: no buffer textures
  std::uint32_t ssbo_alignment = 256;
  std::uint32_t ubo_alignment = 256;
};

struct Features {
  int es_version = 310;         ///< 310 or 320: the #version of generated shaders
  bool precise = false;         ///< ES 3.2 or EXT_gpu_shader5
  bool texel_buffers = false;   ///< ES 3.2 or EXT/OES_texture_buffer
  bool buffer_storage = false;  ///< EXT_buffer_storage: persistent maps
  bool timestamps = false;      ///< EXT_disjoint_timer_query
  bool subgroups = false;       ///< KHR_shader_subgroup, arithmetic, in compute
  bool shuffles = false;        ///< KHR_shader_subgroup, shuffle, in compute
  bool half_floats = false;     ///< NV_gpu_shader5: arithmetic on two float16 at a time
  bool program_binary = false;
  bool software = false;  ///< computes on the CPU (llvmpipe, softpipe)
};

/// One driver, its context and what lives in it. One device is current on a thread; everything in gpu/ uses that one.
class Device {
 public:
  struct Options {
    int index = -1;                      ///< into egl_candidates(); -1: the first that works
    std::optional<LoadPath> load_path;   ///< instead of the measured choice
    std::string limits;                  ///< "", "es31", "v3d" or "panfrost"; GLASSBOX_LIMITS where empty
    std::uint64_t ssbo_block_bytes = 0;  ///< pretend that a storage binding holds no more; 0: the device's limit
  };

  /// Opens a device and makes it current on this thread. Throws Error where no OpenGL ES 3.1 is to be had.
  static std::unique_ptr<Device> open(const Options& options);
  /// The device of this thread; throws Error where none is open.
  static Device& current();
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const Limits& limits() const { return limits_; }
  const Features& features() const { return features_; }
  const std::string& vendor() const { return vendor_; }
  const std::string& renderer() const { return renderer_; }
  const std::string& version() const { return version_; }
  const std::string& pretended() const { return pretended_; }  ///< "" or the name GLASSBOX_LIMITS gave
  int index() const { return index_; }
  /// What everything that names GL objects holds, to know whether they are still there.
  std::weak_ptr<const EglContext> context() const { return context_; }
  /// Contexts that split every dispatch between them; null: this one alone, and the driver's own threads.
  Lanes* lanes() const { return lanes_.get(); }
  unsigned lane_count() const;  ///< 1 without
  /// Names this driver in cache files: vendor, renderer, version, pretended limits and lanes, hashed.
  std::string cache_key() const;

  LoadPath load_path() const { return load_path_; }
  /// Measured and cached per driver: GB/s of each path, in LoadPath's order; 0 where it was not measured.
  const std::array<double, 3>& load_path_speed() const { return load_path_speed_; }
  TimerSource timer_source() const { return timer_source_; }
  /// One line on why the timer is or is not trusted.
  const std::string& timer_verdict() const { return timer_verdict_; }

  ProgramCache& programs() { return *programs_; }
  Arena& arena() { return *arena_; }
  /// Where plans lay their parameter blocks.
  Arena& parameters() { return *parameters_; }
  Staging& staging() { return *staging_; }
  /// Which variants packed matmuls take here.
  PackedTable& packed_table() const { return *packed_table_; }

  /// Waits until the device is idle.
  void finish();
  /// Throws Error if the driver has reported an error on any lane since the last check. `doing` names what was being
  /// done.
  void check(std::string_view doing);
  /// Forgets them: after a call that a driver may rightly refuse.
  void forget_errors();

 private:
  explicit Device(const Options& options);
  void read_features();
  void read_limits();
  void close();
  void pretend(const std::string& name);

  std::shared_ptr<EglContext> context_;
  std::unique_ptr<Lanes> lanes_;
  Limits limits_;
  Features features_;
  std::string vendor_, renderer_, version_, pretended_;
  int index_ = 0;
  LoadPath load_path_ = LoadPath::ssbo;
  std::array<double, 3> load_path_speed_{};
  TimerSource timer_source_ = TimerSource::cpu_clock;
  std::string timer_verdict_;
  std::unique_ptr<ProgramCache> programs_;
  std::shared_ptr<Arena> arena_, parameters_;
  std::unique_ptr<Staging> staging_;
  std::unique_ptr<PackedTable> packed_table_;
};

}  // namespace glassbox::gpu
