#include "gpu/array.h"

#include "gpu/ops/copy.h"
#include "tests/gpu/runtime_support.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::DType;
using gpu::Shape;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// A view kept beside its elements in nested-loop order, one plain step at a time.
struct Mirror {
  Array array;
  std::vector<double> values;  ///< row-major

  std::vector<std::size_t> index(std::size_t flat) const {
    std::vector<std::size_t> at(array.ndim());
    for (std::size_t axis = array.ndim(); axis-- > 0; flat /= array.shape()[axis])
      at[axis] = flat % array.shape()[axis];
    return at;
  }
  double at(const std::vector<std::size_t>& index) const {
    std::size_t flat = 0;
    for (std::size_t axis = 0; axis < array.ndim(); ++axis) flat = flat * array.shape()[axis] + index[axis];
    return values[flat];
  }
};

/// The elements of `to`, each taken from where `source` says its index lies in `from`.
Mirror viewed(const Mirror& from, Array to,
              const std::function<std::vector<std::size_t>(std::vector<std::size_t>)>& source) {
  Mirror result{std::move(to), {}};
  for (std::size_t i = 0; i < result.array.size(); ++i) result.values.push_back(from.at(source(result.index(i))));
  return result;
}

class ArrayTest : public GpuTest {
 protected:
  Mirror some(Shape shape, DType dtype = DType::f32) {
    const auto x = random.normal(std::move(shape), dtype);
    return {x, x.values()};
  }
  Mirror transposed(const Mirror& m) {
    std::vector<std::size_t> axes(m.array.ndim());
    for (std::size_t i = 0; i < axes.size(); ++i) axes[i] = i;
    std::shuffle(axes.begin(), axes.end(), random.engine());
    return viewed(m, m.array.transpose(axes), [&](auto index) {
      auto from = index;
      for (std::size_t i = 0; i < axes.size(); ++i) from[axes[i]] = index[i];
      return from;
    });
  }
  Mirror sliced(const Mirror& m) {
    const auto axis = random.integer(0, m.array.ndim() - 1), length = m.array.shape()[axis];
    const auto begin = random.integer(0, length - 1), end = random.integer(begin + 1, length);
    return viewed(m, m.array.slice(axis, begin, end), [&](auto index) {
      index[axis] += begin;
      return index;
    });
  }
  Mirror broadcast(const Mirror& m) {
    Shape shape = m.array.shape();
    for (auto& length : shape)
      if (length == 1) length = random.integer(1, 3);
    const std::size_t lead = m.array.ndim() < 6 ? random.integer(0, 1) : 0;
    if (lead) shape.insert(shape.begin(), 2);
    return viewed(m, m.array.broadcast_to(shape), [&](auto index) {
      index.erase(index.begin(), index.begin() + static_cast<std::ptrdiff_t>(lead));
      for (std::size_t axis = 0; axis < index.size(); ++axis)
        if (m.array.shape()[axis] == 1) index[axis] = 0;
      return index;
    });
  }
  Mirror reshaped(const Mirror& m) {
    Shape shape = m.array.shape();
    if (shape.size() > 1) {
      shape[1] *= shape[0];
      shape.erase(shape.begin());
    } else {
      shape.push_back(1);
    }
    return {m.array.reshape(shape), m.values};
  }
};

TEST_F(ArrayTest, ViewsOfViewsAreWhatPlainLoopsSay) {
  for (int round = 0; round < 60; ++round) {
    Shape shape(random.integer(1, 6));
    for (auto& length : shape) length = random.integer(1, 5);
    auto m = some(shape, random.integer(0, 1) ? DType::f32 : DType::f16);
    for (int step = 0; step < 4 && m.array.size() < 20000; ++step) {
      switch (random.integer(0, 3)) {
        case 0:
          m = transposed(m);
          break;
        case 1:
          m = sliced(m);
          break;
        case 2:
          m = broadcast(m);
          break;
        default:
          m = reshaped(m);
      }
    }
    SCOPED_TRACE(fmt::format("{} {}, strides {}, from {}", name_of(m.array.dtype()), m.array.shape(), m.array.strides(),
                             m.array.offset()));
    ASSERT_EQ(m.array.values(), m.values);
    ASSERT_EQ(gpu::copy(m.array).values(), m.values) << "the GPU walks the same strides";
    ASSERT_EQ(average(m.array, m.array).values(), m.values) << "a kernel sees it contiguous";
  }
}

TEST_F(ArrayTest, KnowsWhenItIsContiguous) {
  const auto x = counting({4, 6, 8});
  EXPECT_TRUE(x.contiguous());
  EXPECT_TRUE(x.slice(0, 1, 3).contiguous());
  EXPECT_TRUE(x.reshape({24, 8}).slice(0, 5, 6).contiguous());
  EXPECT_TRUE(counting({1, 5}).transpose({1, 0}).contiguous()) << "an axis of one element may have any stride";
  EXPECT_FALSE(x.slice(1, 0, 3).contiguous());
  EXPECT_FALSE(x.transpose({1, 0, 2}).contiguous());
  EXPECT_FALSE(counting({7}).slice(0, 1, 5).contiguous()) << "begins off 16 bytes";
  EXPECT_TRUE(counting({7}).slice(0, 4, 7).contiguous());
  EXPECT_FALSE(counting({1}).broadcast_to({3}).contiguous());
}

TEST_F(ArrayTest, ReadsUnalignedSlices) {
  for (const auto dtype : {DType::f32, DType::f16, DType::u32})
    for (std::size_t begin = 0; begin < 9; ++begin) {
      const auto slice = counting({12}, dtype).slice(0, begin, 12);
      std::vector<double> expected;
      for (std::size_t i = begin; i < 12; ++i) expected.push_back(static_cast<double>(i));
      EXPECT_EQ(slice.values(), expected);
      EXPECT_EQ(gpu::copy(slice).values(), expected);
    }
}

TEST_F(ArrayTest, CopiesWhatIsNotContiguousAndCounts) {
  const auto x = counting({3, 5});
  auto plan = gpu::Plan::record({average(x.transpose({1, 0}), x.transpose({1, 0}))});
  EXPECT_EQ(plan.copies(), 2u);
  EXPECT_EQ(gpu::Plan::record({average(x, x)}).copies(), 0u);
}

TEST_F(ArrayTest, OfNoAxesIsAScalar) {
  const auto x = array({}, {42});
  EXPECT_EQ(x.size(), 1u);
  EXPECT_EQ(x.last(), 1u);
  EXPECT_EQ(x.rows(), 1u);
  EXPECT_THAT(x.values(), ElementsAre(42));
  EXPECT_THAT(each("x[i] + 1.0", x).values(), ElementsAre(43));
  EXPECT_THAT(x.broadcast_to({3}).values(), ElementsAre(42, 42, 42));
  EXPECT_THAT(array({1, 1}, {7}).reshape({}).values(), ElementsAre(7));
}

TEST_F(ArrayTest, OfNoElementsIsEvaluatedWithoutARun) {
  const auto x = zeros({3, 0, 2});
  EXPECT_EQ(x.size(), 0u);
  EXPECT_EQ(x.rows(), 0u);
  EXPECT_THAT(x.values(), IsEmpty());
  EXPECT_THAT(gpu::copy(x).values(), IsEmpty());
  EXPECT_THAT(x.reshape({0, 7}).transpose({1, 0}).values(), IsEmpty());
  EXPECT_THAT(counting({4}).slice(0, 4, 4).values(), IsEmpty());
  EXPECT_THAT(counting({4}).slice(0, 2, 2).broadcast_to({5, 0}).values(), IsEmpty());
  auto plan = gpu::Plan::record({average(zeros({0}), zeros({0}))});
  EXPECT_TRUE(plan.dispatches().empty());
  plan.run();
  EXPECT_TRUE(plan.run_timed().empty());
}

TEST_F(ArrayTest, TakesAndGivesBytes) {
  const auto x = from_elements<std::int32_t>({3}, DType::i32, {-1, 2, -2147483647 - 1});
  EXPECT_THAT(elements<std::int32_t>(x), ElementsAre(-1, 2, -2147483647 - 1));
  const std::vector<std::int32_t> other{7, 8, 9};
  x.write(std::as_bytes(std::span(other)));
  EXPECT_EQ(elements<std::int32_t>(x), other);
}

TEST_F(ArrayTest, WritesAreOrderedAfterDispatches) {
  const auto x = array({1}, {1});
  auto plan = gpu::Plan::record({each("x[i] * 2.0", x)});
  const auto y = plan.steps()[0].outputs[0];
  for (float value = 1; value < 20; ++value) {
    x.write(std::as_bytes(std::span(&value, 1)));
    plan.run();
    const float other = -1;
    x.write(std::as_bytes(std::span(&other, 1)));
    ASSERT_THAT(y.values(), ElementsAre(2 * value));
  }
}

TEST_F(ArrayTest, RefusesWhatDoesNotFit) {
  const std::vector<std::byte> bytes(13);
  EXPECT_ERROR(Array::from_bytes({4}, DType::f32, bytes), "13 bytes given for a f32 array of shape [4]");
  EXPECT_ERROR(Array::from_values({3}, DType::f16, std::vector<double>(2)), "4 bytes given for a f16 array");
  const auto x = counting({2, 3});
  EXPECT_ERROR(x.write(bytes), "13 bytes given");
  EXPECT_ERROR(x.reshape({5}), "[reshape] [2, 3] has 6 elements, [5] has 5");
  EXPECT_ERROR(x.transpose({0}), "[transpose] 1 axes given for an array of 2");
  EXPECT_ERROR(x.transpose({0, 0}), "[transpose] [0, 0] is no permutation");
  EXPECT_ERROR(x.transpose({0, 2}), "is no permutation");
  EXPECT_ERROR(x.slice(2, 0, 1), "[slice]");
  EXPECT_ERROR(x.slice(1, 0, 4), "[slice] [0, 4) of axis 1 does not lie in shape [2, 3]");
  EXPECT_ERROR(x.slice(1, 2, 1), "[slice]");
  EXPECT_ERROR(x.broadcast_to({3}), "[broadcast_to] [2, 3] has more axes than [3]");
  EXPECT_ERROR(x.broadcast_to({4, 3}), "does not broadcast to [4, 3]");
  EXPECT_ERROR(x.broadcast_to({std::size_t{1} << 62, 2, 3}).size(), "too large");
  EXPECT_ERROR(Array::empty({std::size_t{1} << 40, std::size_t{1} << 40}, DType::f32), "too large");
  EXPECT_ERROR(gpu::eval({Array()}), "is no array");
  EXPECT_ERROR(gpu::kernel({.name = "k", .inputs = {"x"}, .outputs = {"y"}}, {Array()}, {{{1}, DType::f32}}, {}),
               "[k] an input is no array");
}

TEST_F(ArrayTest, TakesSixAxesAndSaysSoOfSeven) {
  const auto x = counting({2, 1, 3, 2, 2, 2}).transpose({5, 4, 3, 2, 1, 0});
  EXPECT_EQ(gpu::copy(x).values(), x.values());
  EXPECT_ERROR(counting({2, 1, 3, 2, 2, 2, 2}).transpose({6, 5, 4, 3, 2, 1, 0}).reshape({96}).values(),
               "at most 6 axes");
}

TEST_F(ArrayTest, BelongsToTheLayerOfItsScope) {
  const auto x = counting({4});
  const auto before = each("x[i]", x);
  {
    const gpu::LayerScope outer(3);
    EXPECT_EQ(each("x[i]", x).data()->operation->layer, 3);
    const gpu::LayerScope inner(4);
    EXPECT_EQ(each("x[i]", x).data()->operation->layer, 4);
  }
  EXPECT_EQ(before.data()->operation->layer, -1);
  EXPECT_EQ(each("x[i]", x).data()->operation->layer, -1);
}

TEST_F(ArrayTest, OfADeepGraphThatNobodyEvaluatedDiesWithoutAStack) {
  auto x = counting({4});
  const auto primitive = each("x[i]", x).data()->operation->primitive;
  for (int i = 0; i < 200000; ++i) x = Array::make({4}, DType::f32, primitive, {x, x});
  EXPECT_FALSE(x.evaluated());
}

}  // namespace
}  // namespace glassbox::testing
