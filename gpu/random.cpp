#include "gpu/random.h"

namespace glassbox::gpu {
namespace {

template <class Distribution>
Array drawn(Shape shape, DType dtype, Distribution distribution, std::mt19937_64& engine) {
  std::vector<double> values(element_count(shape));
  for (auto& value : values) value = static_cast<double>(distribution(engine));
  return Array::from_values(std::move(shape), dtype, values);
}

}  // namespace

Array Random::normal(Shape shape, DType dtype, double deviation) {
  return drawn(std::move(shape), dtype, std::normal_distribution<double>(0, deviation), engine_);
}

Array Random::uniform(Shape shape, double low, double high, DType dtype) {
  return drawn(std::move(shape), dtype, std::uniform_real_distribution<double>(low, high), engine_);
}

Array Random::indices(Shape shape, std::uint32_t below) {
  return drawn(std::move(shape), DType::u32, std::uniform_int_distribution<std::uint32_t>(0, below - 1), engine_);
}

std::size_t Random::integer(std::size_t low, std::size_t high) {
  return std::uniform_int_distribution<std::size_t>(low, high)(engine_);
}

}  // namespace glassbox::gpu
