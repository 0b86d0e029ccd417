#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gpu/arena.h"
#include "gpu/dtype.h"

namespace glassbox::gpu {

class Primitive;
class Array;

/// Shape and dtype of an output before it is computed.
struct OutputSpec {
  Shape shape;
  DType dtype = DType::f32;
};

/// Elements that stand somewhere, or will once their operation is evaluated. Several arrays can view one of these.
struct ArrayData {
  DType dtype = DType::f32;
  std::size_t count = 0;
  std::shared_ptr<Storage> storage;             ///< null until evaluated
  std::shared_ptr<struct Operation> operation;  ///< null once evaluated
  std::size_t output = 0;                       ///< which output of it
};

/// A node of the graph: a primitive applied to arrays.
struct Operation {
  std::shared_ptr<const Primitive> primitive;
  std::vector<Array> inputs;
  std::vector<OutputSpec> specs;
  std::vector<std::weak_ptr<ArrayData>> outputs;
  int layer = -1;  ///< of the model, by LayerScope; -1 outside

  ~Operation();
};

/// A lazy n-dimensional array: shape and strides over ArrayData. Copies are cheap and share the elements. Nothing runs
/// until eval(), values() or bytes().
class Array {
 public:
  Array() = default;

  /// The result of a primitive, contiguous.
  static Array make(Shape shape, DType dtype, std::shared_ptr<const Primitive> primitive, std::vector<Array> inputs);
  static std::vector<Array> make_all(std::vector<OutputSpec> specs, std::shared_ptr<const Primitive> primitive,
                                     std::vector<Array> inputs);
  /// Uploads bytes, row-major. Throws Error if their number is not that of the shape.
  static Array from_bytes(Shape shape, DType dtype, std::span<const std::byte> bytes, Arena* arena = nullptr);
  /// Uploads values, rounded to nearest even into the dtype.
  static Array from_values(Shape shape, DType dtype, std::span<const double> values);
  /// Elements on a storage that is large enough, as they are.
  static Array on(std::shared_ptr<Storage> storage, Shape shape, DType dtype);
  /// Elements of unspecified value.
  static Array empty(Shape shape, DType dtype, Arena* arena = nullptr);

  const Shape& shape() const { return shape_; }
  const std::vector<std::size_t>& strides() const { return strides_; }  ///< in elements
  std::size_t offset() const { return offset_; }                        ///< of the first element, in elements
  DType dtype() const { return data_->dtype; }
  std::size_t ndim() const { return shape_.size(); }
  std::size_t size() const { return element_count(shape_); }
  std::size_t nbytes() const { return size() * size_of(dtype()); }
  std::size_t last() const { return shape_.empty() ? 1 : shape_.back(); }  ///< length of the last axis
  std::size_t rows() const { return last() == 0 ? 0 : size() / last(); }   ///< product of all other axes
  bool contiguous() const;
  bool evaluated() const { return data_->storage != nullptr; }
  explicit operator bool() const { return data_ != nullptr; }

  /// Views: no element moves. reshape of what is not contiguous makes it so first.
  Array reshape(Shape shape) const;
  Array transpose(std::vector<std::size_t> axes) const;
  Array slice(std::size_t axis, std::size_t begin, std::size_t end) const;
  Array broadcast_to(Shape shape) const;  ///< axes of length 1, and missing leading ones, repeat with stride 0

  /// All elements of the data this views, in one axis: what a kernel binds that applies strides itself.
  Array base() const { return Array(data_, {data_->count}); }

  /// Elements in row-major order, evaluated if need be. Waits for the device.
  std::vector<double> values() const;
  std::vector<std::byte> bytes() const;
  /// Replaces the elements of a contiguous, evaluated array, ordered after every dispatch issued before.
  void write(std::span<const std::byte> bytes) const;

  const std::shared_ptr<ArrayData>& data() const { return data_; }
  std::size_t byte_offset() const { return data_->storage->offset() + offset_ * size_of(dtype()); }  ///< in its buffer

 private:
  Array(std::shared_ptr<ArrayData> data, Shape shape);
  std::shared_ptr<ArrayData> data_;
  Shape shape_;
  std::vector<std::size_t> strides_;
  std::size_t offset_ = 0;
};

/// Evaluates arrays, and what they need, in one recorded plan.
void eval(std::span<const Array> arrays);
inline void eval(std::initializer_list<Array> arrays) { eval(std::span(arrays.begin(), arrays.size())); }

/// Arrays made on this thread while it lives belong to this layer of the model, for profiles and diffs.
class LayerScope {
 public:
  explicit LayerScope(int layer);
  ~LayerScope();
  LayerScope(const LayerScope&) = delete;
  LayerScope& operator=(const LayerScope&) = delete;

 private:
  int outer_;
};

}  // namespace glassbox::gpu
