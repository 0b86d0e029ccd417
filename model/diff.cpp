#include "model/diff.h"

#include <algorithm>

namespace glassbox::model {

DiffReport diff(Engine& engine, std::span<const std::uint32_t> prompt, std::size_t count, const KernelSeen& seen,
                const Progress& progress) {
  DiffReport report;
  gpu::Differ differ(true);
  const std::size_t total = prompt.size() + count;
  engine.rewind(0);
  engine.on_step([&](const EngineStep& step) {
    const std::size_t kernels = step.plan.steps().size();
    const auto errors = differ.run(step.plan, [&](const gpu::KernelError& error, std::span<const double> values,
                                                  std::span<const double> reference) {
      report.kernels.push_back(error);
      auto& last = report.kernels.back();
      last.index = report.kernels.size() - 1;
      if (!last.ok && !report.first_divergent) report.first_divergent = last.index;
      if (seen) seen(last, values, reference);
      if (progress)
        progress("comparing with float64", step.first * kernels + step.count * (error.index + 1), total * kernels);
    });
    const auto& logits = step.plan.steps().back().outputs[0];
    const auto computed = logits.values(), exact = differ.accumulated(logits);
    const std::size_t vocabulary = logits.last(), last = computed.size() - vocabulary;
    report.kl =
        std::max(report.kl, gpu::kl_divergence(std::span(exact).subspan(last), std::span(computed).subspan(last)));
    report.logits = gpu::compare(computed, exact, logits.dtype());
  });
  struct Restore {
    Engine& engine;
    ~Restore() { engine.on_step(nullptr); }
  } const restore{engine};
  auto logits = engine.feed(prompt);
  for (std::size_t i = 0; i < count && engine.tokens().size() < engine.context(); ++i) {
    const auto next = static_cast<std::uint32_t>(std::max_element(logits->begin(), logits->end()) - logits->begin());
    if (engine.ends_answer(next)) break;
    logits = engine.feed(std::span(&next, 1));
  }
  return report;
}

}  // namespace glassbox::model
