#include "gpu/array.h"

#include <cstring>
#include <iterator>
#include <numeric>
#include <utility>

#include "gpu/device.h"
#include "gpu/error.h"
#include "gpu/ops/copy.h"
#include "gpu/plan.h"
#include "gpu/primitive.h"

namespace glassbox::gpu {
namespace {

thread_local int current_layer = -1;

std::vector<std::size_t> dense_strides(const Shape& shape) {
  std::vector<std::size_t> strides(shape.size(), 1);
  for (std::size_t axis = shape.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * shape[axis];
  return strides;
}

/// Calls take(source index) for every element in row-major order.
template <class Take>
void for_each_index(const Shape& shape, const std::vector<std::size_t>& strides, std::size_t offset, Take take) {
  const std::size_t count = element_count(shape);
  std::vector<std::size_t> at(shape.size(), 0);
  for (std::size_t n = 0; n < count; ++n) {
    take(std::inner_product(at.begin(), at.end(), strides.begin(), offset));
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      if (++at[axis] < shape[axis]) break;
      at[axis] = 0;
    }
  }
}

}  // namespace

/// Without recursion: a graph that was never evaluated can be many thousands of operations deep.
Operation::~Operation() {
  std::vector<Array> orphans = std::move(inputs);
  while (!orphans.empty()) {
    const auto data = orphans.back().data();
    orphans.pop_back();
    if (data.use_count() > 1 || !data->operation || data->operation.use_count() > 1) continue;
    auto& more = data->operation->inputs;
    orphans.insert(orphans.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
    more.clear();
  }
}

Array::Array(std::shared_ptr<ArrayData> data, Shape shape)
    : data_(std::move(data)), shape_(std::move(shape)), strides_(dense_strides(shape_)) {}

std::vector<Array> Array::make_all(std::vector<OutputSpec> specs, std::shared_ptr<const Primitive> primitive,
                                   std::vector<Array> inputs) {
  for (const auto& input : inputs) require(bool(input), "[{}] an input is no array", primitive->name());
  auto operation = std::make_shared<Operation>();
  operation->primitive = std::move(primitive);
  operation->inputs = std::move(inputs);
  operation->layer = current_layer;
  std::vector<Array> arrays;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    auto data = std::make_shared<ArrayData>();
    data->dtype = specs[i].dtype;
    data->count = element_count(specs[i].shape);
    data->operation = operation;
    data->output = i;
    operation->outputs.push_back(data);
    arrays.push_back(Array(std::move(data), specs[i].shape));
  }
  operation->specs = std::move(specs);
  return arrays;
}

Array Array::make(Shape shape, DType dtype, std::shared_ptr<const Primitive> primitive, std::vector<Array> inputs) {
  return make_all({{std::move(shape), dtype}}, std::move(primitive), std::move(inputs)).front();
}

Array Array::on(std::shared_ptr<Storage> storage, Shape shape, DType dtype) {
  auto data = std::make_shared<ArrayData>();
  data->dtype = dtype;
  data->count = element_count(shape);
  data->storage = std::move(storage);
  return Array(std::move(data), std::move(shape));
}

Array Array::empty(Shape shape, DType dtype, Arena* arena) {
  auto storage = (arena ? *arena : Device::current().arena()).allocate(element_count(shape) * size_of(dtype));
  return on(std::move(storage), std::move(shape), dtype);
}

Array Array::from_bytes(Shape shape, DType dtype, std::span<const std::byte> bytes, Arena* arena) {
  require(bytes.size() == element_count(shape) * size_of(dtype), "[array] {} bytes given for a {} array of shape {}",
          bytes.size(), name_of(dtype), shape);
  const auto array = empty(std::move(shape), dtype, arena);
  array.write(bytes);
  return array;
}

Array Array::from_values(Shape shape, DType dtype, std::span<const double> values) {
  return from_bytes(std::move(shape), dtype, from_float64(values, dtype));
}

bool Array::contiguous() const {
  return offset_ * size_of(dtype()) % 16 == 0 && (size() <= 1 || strides_ == dense_strides(shape_) || [this] {
           // Axes of length 1 may have any stride.
           std::size_t expected = 1;
           for (std::size_t axis = shape_.size(); axis-- > 0;) {
             if (shape_[axis] != 1 && strides_[axis] != expected) return false;
             expected *= shape_[axis];
           }
           return true;
         }());
}

Array Array::reshape(Shape shape) const {
  require(element_count(shape) == size(), "[reshape] {} has {} elements, {} has {}", shape_, size(), shape,
          element_count(shape));
  Array view = contiguous() ? *this : copy(*this);
  view.strides_ = dense_strides(shape);
  view.shape_ = std::move(shape);
  return view;
}

Array Array::transpose(std::vector<std::size_t> axes) const {
  require(axes.size() == ndim(), "[transpose] {} axes given for an array of {} dimensions", axes.size(), ndim());
  Array view = *this;
  std::vector<bool> seen(ndim(), false);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    require(axes[i] < ndim() && !seen[axes[i]], "[transpose] {} is no permutation of the {} axes", axes, ndim());
    seen[axes[i]] = true;
    view.shape_[i] = shape_[axes[i]];
    view.strides_[i] = strides_[axes[i]];
  }
  return view;
}

Array Array::slice(std::size_t axis, std::size_t begin, std::size_t end) const {
  require(axis < ndim() && begin <= end && end <= shape_[axis], "[slice] [{}, {}) of axis {} does not lie in shape {}",
          begin, end, axis, shape_);
  Array view = *this;
  view.shape_[axis] = end - begin;
  view.offset_ += begin * strides_[axis];
  return view;
}

Array Array::broadcast_to(Shape shape) const {
  require(shape.size() >= ndim(), "[broadcast_to] {} has more axes than {}", shape_, shape);
  Array view = *this;
  view.strides_.assign(shape.size(), 0);
  const std::size_t lead = shape.size() - ndim();
  for (std::size_t axis = 0; axis < ndim(); ++axis) {
    require(shape_[axis] == 1 || shape_[axis] == shape[lead + axis], "[broadcast_to] {} does not broadcast to {}",
            shape_, shape);
    if (shape_[axis] != 1) view.strides_[lead + axis] = strides_[axis];
  }
  view.shape_ = std::move(shape);
  return view;
}

std::vector<std::byte> Array::bytes() const {
  if (!evaluated()) eval({*this});
  const std::size_t width = size_of(dtype());
  std::vector<std::byte> out(nbytes());
  if (contiguous()) {
    data_->storage->buffer().read(byte_offset(), out);
    return out;
  }
  std::vector<std::byte> all(data_->count * width);
  data_->storage->buffer().read(data_->storage->offset(), all);
  std::byte* to = out.data();
  for_each_index(shape_, strides_, offset_, [&](std::size_t from) {
    std::memcpy(to, all.data() + from * width, width);
    to += width;
  });
  return out;
}

std::vector<double> Array::values() const { return to_float64(bytes(), dtype()); }

void Array::write(std::span<const std::byte> bytes) const {
  require(evaluated() && contiguous() && bytes.size() == nbytes(), "[write] {} bytes given for a {} array of shape {}",
          bytes.size(), name_of(dtype()), shape_);
  data_->storage->buffer().write(byte_offset(), bytes);
}

void eval(std::span<const Array> arrays) { Plan::record(arrays).run(); }

LayerScope::LayerScope(int layer) : outer_(std::exchange(current_layer, layer)) {}
LayerScope::~LayerScope() { current_layer = outer_; }

}  // namespace glassbox::gpu
