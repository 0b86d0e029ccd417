#pragma once

#include <memory>
#include <optional>
#include <set>
#include <variant>
#include <vector>

#include "gpu/array.h"
#include "gpu/dynamic.h"
#include "gpu/kernel.h"
#include "gpu/program_cache.h"

namespace glassbox::gpu {

struct Grid {
  std::uint32_t x = 1, y = 1, z = 1;  ///< workgroups
};

using ParamValue = std::variant<float, std::uint32_t, std::int32_t, Dynamic>;

/// A size as a kernel's parameter or a grid's axis takes it.
constexpr std::uint32_t u32(std::size_t size) { return static_cast<std::uint32_t>(size); }
/// Groups of `each` that `count` elements need.
constexpr std::size_t divide_up(std::size_t count, std::size_t each) { return (count + each - 1) / each; }

struct DispatchOptions {
  unsigned local_size = 0;  ///< 0: the encoder's choice for this device
  Constants constants;
  std::optional<LoadPath> load_path;  ///< instead of the device's
};

/// One recorded dispatch: everything GL needs, nothing to look up.
struct Dispatch {
  struct Range {
    Buffer* buffer = nullptr;
    std::size_t offset = 0, bytes = 0;
    bool operator==(const Range&) const = default;
  };
  /// How lanes may share it.
  enum class Split : std::uint8_t { none, x, y, z };
  const Program* program = nullptr;
  std::string kernel;
  std::vector<Range> slots;     ///< by storage binding
  std::vector<Buffer*> images;  ///< by image unit: their texel views
  std::vector<Buffer*> texels;  ///< by texture unit
  std::size_t params_offset = 0, params_bytes = 0;
  Grid grid;
  Split split = Split::none;
  unsigned local_size = 1;
  bool barrier = false;  ///< before it
  double bytes = 0;      ///< of the arrays bound
};

/// Records dispatches: binds arrays, packs parameters, tracks hazards. Primitives see this and nothing of GL.
class CommandEncoder {
 public:
  static constexpr unsigned most_units = 16;  ///< image or texture units that a dispatch uses

  explicit CommandEncoder(Device& device, Arena& arena) : device_(device), arena_(arena) {}

  /// Records `kernel` over `grid`. `params` in the order of kernel.params; a Dynamic is read anew at each run.
  void dispatch(const Kernel& kernel, std::vector<Array> inputs, std::vector<Array> outputs,
                const std::vector<ParamValue>& params, Grid grid, const DispatchOptions& options = {});

  /// Scratch that lives until the primitive's eval_gpu returns.
  Array temporary(Shape shape, DType dtype);

  Device& device() const { return device_; }
  /// A grid of `count` workgroups for bodies that use flat_group.
  Grid flat_groups(std::size_t count) const;
  /// A grid with at least `count` invocations for bodies that use flat_id; out-of-range ones must return.
  Grid flat_invocations(std::size_t count, unsigned local_size) const;
  /// A workgroup size that suits one invocation an element (wide where the device computes in parallel lanes).
  unsigned map_size() const;
  /// A workgroup size for one row of `length` elements reduced by a group.
  unsigned reduce_size(std::size_t length) const;

 private:
  friend class Recorder;
  friend class Plan;
  struct Patch {
    std::size_t at;  ///< into params
    Dynamic value;
  };
  struct Touched {
    const Buffer* buffer;
    std::size_t begin, end;
  };
  bool hazard(const std::vector<Array>& inputs, const std::vector<Array>& outputs);
  void pack_inputs(const Kernel& kernel, std::vector<Array>& inputs, const std::vector<Array>& outputs);

  Device& device_;
  Arena& arena_;
  std::vector<Dispatch> dispatches_;
  std::vector<std::byte> params_;
  std::vector<Patch> patches_;
  std::vector<Touched> read_, written_;  ///< since the last barrier
  std::vector<Array> temporaries_;
  std::set<std::shared_ptr<Buffer>> buffers_;  ///< that the dispatches name
  std::size_t copies_ = 0;                     ///< arrays packed or made contiguous on the way
};

}  // namespace glassbox::gpu
