#pragma once

#include <string>

#include "gpu/device.h"
#include "gpu/primitive.h"

namespace glassbox::gpu {

/// What this device can do at best, measured by kernels like all others: the two ceilings of the roofline model
/// (Williams, Waterman & Patterson 2009).
struct Roofline {
  double bytes_per_second = 0;  ///< read from a buffer larger than the caches, by the device's best load path
  double flops_per_second = 0;  ///< float32, a multiply-add counted as two, in independent chains
  std::string date;             ///< of the measurement, UTC: 2026-01-31

  /// The least time the ceilings allow: max(bytes / bandwidth, flops / peak).
  double seconds(const Cost& cost) const;
  /// seconds(cost) / `seconds_taken`; 0 where no time was measured. Above 1 where the data came from caches.
  double fraction(const Cost& cost, double seconds_taken) const;
};

enum class Measure { cached /* once per driver, kept on disk */, anew };
/// The ceilings of this device; takes two or three seconds where they are not cached.
Roofline measured_roofline(Device& device, Measure measure = Measure::cached);

}  // namespace glassbox::gpu
