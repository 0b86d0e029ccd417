#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "gpu/ops/packed_table.h"
#include "gpu/random.h"

namespace glassbox::gpu {

/// Where the variants of packed matmuls come from.
enum class Tune {
  off,     ///< packed_rule alone
  cached,  ///< the table that was kept, and the rule where it has nothing
  on,      ///< the same, and what the table lacks is measured and kept
  anew     ///< everything that is asked for is measured, whatever the table has
};
/// "off", "cached" or "on"; throws Error naming `flag` for anything else.
Tune parse_tune(std::string_view text, std::string_view flag);
/// $GLASSBOX_TUNE; without it on for GPUs, and cached for software drivers, whose processors have other things to do
/// while a model loads. Throws Error as parse_tune does.
Tune default_tune(const Device& device);

/// Variants worth measuring for a case on a software driver or a GPU with these limits.
std::vector<PackedVariant> packed_candidates(const Limits& limits, bool software, const PackedCase& of);

/// Times the rule's variant and the candidates in turns, on random blocks and a random x, and takes that of the least
/// median: but the rule's unless another's median and its best round are both 5% faster, and the two agree. `copies`:
/// matrices of this shape that are read one after the other for a token, so that caches serve them no better than in a
/// model; of large ones fewer suffice.
PackedChoice measure_packed(Device& device, const PackedCase& of, std::size_t copies, Random& random);

/// Loads the device's table unless tuning is off. A file that is no such table is ignored with a warning on stderr.
void load_packed_table(Device& device, Tune tune);

/// Cases done, and of how many.
using TuneProgress = std::function<void(std::size_t done, std::size_t total)>;
/// Where tuning is on or anew: measures what was asked of the device's table so far, as often as that says, and saves
/// it.
void tune_packed(Device& device, Tune tune, const TuneProgress& progress = nullptr);

}  // namespace glassbox::gpu
