#include "gpu/encoder.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "gpu/device.h"
#include "gpu/error.h"
#include "gpu/ops/copy.h"

namespace glassbox::gpu {
namespace {

std::size_t align_up(std::size_t value, std::size_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

unsigned row_level(const Array& array) { return array.last() % 8 == 0 ? 8 : array.last() % 4 == 0 ? 4 : 0; }

/// The part of a buffer bound for an array: all of it where the device can, so that neighbours share the binding.
Dispatch::Range window(const Array& array, const Limits& limits) {
  Buffer& buffer = array.data()->storage->buffer();
  if (buffer.bytes() <= limits.ssbo_block_bytes) return {&buffer, 0, buffer.bytes()};
  const std::size_t alignment = std::max<std::size_t>(limits.ssbo_alignment, 16);
  const std::size_t begin = array.byte_offset() / alignment * alignment;
  const std::size_t bytes = align_up(array.byte_offset() + array.nbytes() - begin, 16);
  require(bytes <= limits.ssbo_block_bytes, "an array of shape {} needs a binding of {} bytes, this device binds {}",
          array.shape(), bytes, limits.ssbo_block_bytes);
  return {&buffer, begin, bytes};
}

/// Whether an input's elements are an output's, too.
bool overlap(const std::vector<Array>& inputs, const std::vector<Array>& outputs) {
  return std::any_of(inputs.begin(), inputs.end(), [&](const Array& x) {
    return std::any_of(outputs.begin(), outputs.end(), [&](const Array& y) {
      return &x.data()->storage->buffer() == &y.data()->storage->buffer() &&
             x.byte_offset() < y.byte_offset() + y.nbytes() && y.byte_offset() < x.byte_offset() + x.nbytes();
    });
  });
}

/// Along the axis with most groups. A grid folded into two axes keeps its width, which numbers the groups.
Dispatch::Split split_of(const KernelBody& body, const Grid& grid) {
  if (body.gl_grid) return Dispatch::Split::none;
  if (body.flat && grid.y > 1) return Dispatch::Split::y;
  return grid.x >= grid.y && grid.x >= grid.z ? Dispatch::Split::x
         : grid.y >= grid.z                   ? Dispatch::Split::y
                                              : Dispatch::Split::z;
}

/// Index of `item` in `list`, appended if new.
template <class T>
unsigned index_of(std::vector<T>& list, const T& item) {
  const auto found = std::find(list.begin(), list.end(), item);
  if (found != list.end()) return static_cast<unsigned>(found - list.begin());
  list.push_back(item);
  return static_cast<unsigned>(list.size() - 1);
}

}  // namespace

Array CommandEncoder::temporary(Shape shape, DType dtype) {
  auto storage = arena_.allocate(element_count(shape) * size_of(dtype), Arena::Use::scratch);
  return temporaries_.emplace_back(Array::on(std::move(storage), std::move(shape), dtype));
}

Grid CommandEncoder::flat_groups(std::size_t count) const {
  const std::size_t width = device_.limits().groups[0];
  if (count <= width) return {static_cast<std::uint32_t>(count)};
  // Two axes: as square as it goes, so that few groups are idle.
  const std::size_t rows = (count + width - 1) / width;
  return {static_cast<std::uint32_t>((count + rows - 1) / rows), static_cast<std::uint32_t>(rows)};
}

Grid CommandEncoder::flat_invocations(std::size_t count, unsigned local_size) const {
  return flat_groups((count + local_size - 1) / local_size);
}

unsigned CommandEncoder::map_size() const {
  return std::min(device_.features().software ? 32u : 128u, device_.limits().invocations);
}

unsigned CommandEncoder::reduce_size(std::size_t length) const {
  const unsigned widest = std::min(device_.features().software ? 16u : 256u, device_.limits().invocations);
  const auto wanted = std::bit_ceil(static_cast<unsigned>(std::min<std::size_t>((length + 3) / 4, widest)));
  return std::clamp(wanted, device_.features().software ? 8u : 32u, widest);
}

bool CommandEncoder::hazard(const std::vector<Array>& inputs, const std::vector<Array>& outputs) {
  const auto range = [](const Array& array) {
    return Touched{&array.data()->storage->buffer(), array.byte_offset(), array.byte_offset() + array.nbytes()};
  };
  const auto overlaps = [](const std::vector<Touched>& list, const Touched& r) {
    return std::any_of(list.begin(), list.end(),
                       [&](const Touched& t) { return t.buffer == r.buffer && t.begin < r.end && r.begin < t.end; });
  };
  bool found = dispatches_.empty();
  for (const auto& x : inputs) found = found || overlaps(written_, range(x));
  for (const auto& y : outputs) found = found || overlaps(written_, range(y)) || overlaps(read_, range(y));
  if (found) {
    read_.clear();
    written_.clear();
  }
  for (const auto& x : inputs) read_.push_back(range(x));
  for (const auto& y : outputs) written_.push_back(range(y));
  return found;
}

/// More buffers than bindings: inputs from buffers other than the arena's move into it, largest last.
void CommandEncoder::pack_inputs(const Kernel& kernel, std::vector<Array>& inputs, const std::vector<Array>& outputs) {
  const auto& limits = device_.limits();
  const auto bindings = [&] {
    std::vector<Dispatch::Range> ranges;
    for (const auto& y : outputs) index_of(ranges, window(y, limits));
    for (const auto& x : inputs) index_of(ranges, window(x, limits));
    return ranges.size();
  };
  std::vector<Dispatch::Range> fixed;
  for (const auto& y : outputs) index_of(fixed, window(y, limits));
  std::vector<Array*> movable;
  for (auto& x : inputs)
    if (std::find(fixed.begin(), fixed.end(), window(x, limits)) == fixed.end()) movable.push_back(&x);
  std::stable_sort(movable.begin(), movable.end(),
                   [](const Array* a, const Array* b) { return a->nbytes() < b->nbytes(); });
  for (auto* x : movable) {
    if (bindings() <= limits.ssbo_bindings) return;
    const Array packed = temporary(x->shape(), x->dtype());
    encode_copy(*this, *x, packed);
    *x = packed;
    ++copies_;
  }
  require(bindings() <= limits.ssbo_bindings,
          "[{}] {} inputs and {} outputs need {} storage bindings, inputs packed, this device has {}", kernel.name,
          inputs.size(), outputs.size(), bindings(), limits.ssbo_bindings);
}

void CommandEncoder::dispatch(const Kernel& kernel, std::vector<Array> inputs, std::vector<Array> outputs,
                              const std::vector<ParamValue>& params, Grid grid, const DispatchOptions& options) {
  require(inputs.size() == kernel.inputs.size() && outputs.size() == kernel.outputs.size() &&
              params.size() == kernel.params.size(),
          "[{}] takes {} inputs, {} outputs and {} params, received {}, {} and {}", kernel.name, kernel.inputs.size(),
          kernel.outputs.size(), kernel.params.size(), inputs.size(), outputs.size(), params.size());
  const auto& limits = device_.limits();
  require(grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= limits.groups[0] && grid.y <= limits.groups[1] &&
              grid.z <= limits.groups[2],
          "[{}] a grid of {}x{}x{} workgroups does not fit this device's {}x{}x{}", kernel.name, grid.x, grid.y, grid.z,
          limits.groups[0], limits.groups[1], limits.groups[2]);
  const KernelBody& body = device_.programs().body(kernel);

  // A 16-bit element cannot be written alone (its neighbour in the word belongs to another invocation): such outputs
  // are computed in float32 and rounded by a second dispatch.
  std::vector<std::pair<Array, Array>> rounded;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto& use = body.uses[inputs.size() + i];
    if (size_of(outputs[i].dtype()) == 2 && (use.scalar || (use.row4 && outputs[i].last() % 2 != 0))) {
      const Array wide = temporary(outputs[i].shape(), DType::f32);
      rounded.emplace_back(wide, outputs[i]);
      outputs[i] = wide;
    }
  }

  const LoadPath path = options.load_path.value_or(device_.load_path());
  Variant variant;
  variant.local_size = options.local_size ? options.local_size : map_size();
  variant.constants = options.constants;
  Dispatch dispatch;
  const auto door_of = [&](const Array& x, const ArrayUse& use) {
    if (path == LoadPath::ssbo || !use.texels() || (use.row4 && row_level(x) == 0) ||
        !x.data()->storage->buffer().texture())
      return LoadPath::ssbo;
    Buffer* const buffer = &x.data()->storage->buffer();
    const auto& units = path == LoadPath::image ? dispatch.images : dispatch.texels;
    const auto most = std::min(path == LoadPath::image ? limits.images : limits.textures, most_units);
    const bool bound = std::find(units.begin(), units.end(), buffer) != units.end();
    return bound || units.size() < most ? path : LoadPath::ssbo;
  };
  // Inputs have bindings apart from those of outputs, in the same buffer too: memory that a kernel only reads, as its
  // compiler must know to keep it in the nearest cache. Software has none.
  bool apart = !device_.features().software && !overlap(inputs, outputs);
  // Outputs take storage bindings first, then inputs; what does not fit is packed and tried again.
  const auto assign = [&] {
    std::size_t written_slots = 0;
    variant.arguments.clear();
    dispatch.slots.clear();
    dispatch.images.clear();
    dispatch.texels.clear();
    variant.wide_slots.clear();
    const auto bind = [&](const Array& array, const ArrayUse& use, bool input) {
      Argument argument{.dtype = array.dtype(), .row_level = use.row4 ? row_level(array) : 8};
      if (use.scalar || use.texels()) {
        require(array.byte_offset() % 16 == 0, "[{}] received an array that does not start on 16 bytes", kernel.name);
        if (input) argument.door = door_of(array, use);
        if (argument.door == LoadPath::ssbo) {
          const auto range = window(array, limits);
          const auto begin = dispatch.slots.begin() + (input && apart ? std::ptrdiff_t(written_slots) : 0);
          const auto found = std::find(begin, dispatch.slots.end(), range);
          argument.slot = static_cast<unsigned>(found - dispatch.slots.begin());
          if (found == dispatch.slots.end()) dispatch.slots.push_back(range);
          variant.wide_slots.resize(dispatch.slots.size(), false);
          if (use.texels() && argument.row_level >= 4) variant.wide_slots[argument.slot] = true;
        } else {
          argument.slot = index_of(argument.door == LoadPath::image ? dispatch.images : dispatch.texels,
                                   &array.data()->storage->buffer());
        }
      }
      return argument;
    };
    std::vector<Argument> written;
    for (std::size_t i = 0; i < outputs.size(); ++i)
      written.push_back(bind(outputs[i], body.uses[inputs.size() + i], false));
    written_slots = dispatch.slots.size();
    for (std::size_t i = 0; i < inputs.size(); ++i) variant.arguments.push_back(bind(inputs[i], body.uses[i], true));
    variant.arguments.insert(variant.arguments.end(), written.begin(), written.end());
  };
  assign();
  if (apart && dispatch.slots.size() > limits.ssbo_bindings) {
    apart = false;
    assign();
  }
  if (dispatch.slots.size() > limits.ssbo_bindings) {
    pack_inputs(kernel, inputs, outputs);
    assign();
  }

  for (const auto* list : {&inputs, &outputs})
    for (const auto& array : *list) {
      const auto& buffer = array.data()->storage->shared_buffer();
      if (buffers_.insert(buffer).second) buffer->require_usable();
      dispatch.bytes += static_cast<double>(array.nbytes());
    }
  dispatch.program = &device_.programs().program(kernel, variant);
  dispatch.kernel = kernel.name;
  dispatch.grid = grid;
  dispatch.split = split_of(body, grid);
  dispatch.local_size = variant.local_size;
  params_.resize(align_up(params_.size(), limits.ubo_alignment));
  dispatch.params_offset = params_.size();
  const auto push = [&](auto value) {
    static_assert(sizeof value == 4);
    const auto at = params_.size();
    params_.resize(at + 4);
    std::memcpy(params_.data() + at, &value, 4);
  };
  if (device_.lanes()) params_.resize(params_.size() + 16);  // the first group, which the plan sets for each
  for (const auto& field : parameter_fields(kernel, body)) {
    if (field.kind == Field::Kind::param) {
      const auto& value = params[field.index];
      const bool is_float = std::holds_alternative<float>(value);
      require(is_float == (kernel.params[field.index].type == DType::f32), "[{}] param {} is declared {}, received {}",
              kernel.name, kernel.params[field.index].name, name_of(kernel.params[field.index].type),
              is_float ? "a float" : "an integer");
      if (const auto* dynamic = std::get_if<Dynamic>(&value)) {
        patches_.push_back({params_.size(), *dynamic});
        push(dynamic->value());
      } else {
        std::visit(
            [&](const auto& v) {
              if constexpr (!std::is_same_v<std::decay_t<decltype(v)>, Dynamic>) push(v);
            },
            value);
      }
      continue;
    }
    const Array& array = field.index < inputs.size() ? inputs[field.index] : outputs[field.index - inputs.size()];
    const auto& argument = variant.arguments[field.index];
    switch (field.kind) {
      case Field::Kind::offset: {
        const std::size_t base = argument.door == LoadPath::ssbo ? dispatch.slots[argument.slot].offset : 0;
        push(static_cast<std::uint32_t>((array.byte_offset() - base) / 16));
        break;
      }
      case Field::Kind::size:
        push(static_cast<std::uint32_t>(array.size()));
        break;
      case Field::Kind::row:
        push(static_cast<std::uint32_t>(array.last()));
        break;
      case Field::Kind::shape:
        require(field.axis < array.ndim(), "[{}] asks for axis {} of an array of shape {}", kernel.name, field.axis,
                array.shape());
        push(static_cast<std::uint32_t>(array.shape()[field.axis]));
        break;
      case Field::Kind::param:
        break;
    }
  }
  params_.resize(align_up(params_.size(), 16));  // a uniform block is read in vec4 steps
  dispatch.params_bytes = params_.size() - dispatch.params_offset;
  dispatch.barrier = hazard(inputs, outputs);
  dispatches_.push_back(std::move(dispatch));

  for (const auto& [wide, narrow] : rounded) encode_copy(*this, wide, narrow);
}

}  // namespace glassbox::gpu
