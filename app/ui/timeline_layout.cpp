#include "app/ui/timeline_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace glassbox::app::ui {

std::string step_text(const gpu::ProfiledRun& run) {
  return run.count == 1 ? fmt::format("{}, position {}", run.section, run.first)
                        : fmt::format("{}, positions {} to {}", run.section, run.first, run.first + run.count - 1);
}

TimelineLayout::TimelineLayout(const Runs& list) {
  for (const auto& run : list)
    if (run && !run->dispatches.empty()) add(run);

  std::map<std::string_view, std::size_t> by_name;
  for (const auto& event : events) by_name.try_emplace(event.dispatch->kernel, 0);
  lanes.resize(by_name.size());
  std::size_t next = 0;
  for (auto& [name, lane] : by_name) lanes[lane = next++].kernel = name;
  for (const auto& event : events) lanes[by_name[event.dispatch->kernel]].busy += event.end - event.begin;
  std::stable_sort(lanes.begin(), lanes.end(), [](const auto& a, const auto& b) { return a.busy > b.busy; });
  for (std::size_t i = 0; i < lanes.size(); ++i) by_name[lanes[i].kernel] = i;
  for (std::uint32_t i = 0; i < events.size(); ++i) {
    events[i].lane = static_cast<std::uint32_t>(by_name[events[i].dispatch->kernel]);
    lanes[events[i].lane].events.push_back(i);
  }
  for (const auto& gap : gaps) {
    using Kind = TimelineGap::Kind;
    if (gap.kind == Kind::between || gap.kind == Kind::barrier) between += gap.length;
    if (gap.kind == Kind::host) host += gap.length;
  }
}

void TimelineLayout::add(const std::shared_ptr<const gpu::ProfiledRun>& run) {
  using Kind = TimelineGap::Kind;
  if (!runs.empty()) {
    const auto& last = *runs.back().run;
    const double real = run->start_us - (last.start_us + last.wall_us);
    const double to_scale = (runs.back().end - runs.back().begin) / 4;
    const bool known = real >= 0;
    const double drawn = known ? std::min(real, to_scale) : to_scale / 4;
    gaps.push_back({known && real <= to_scale ? Kind::steps : Kind::pause, total, total + drawn, known ? real : -1});
    total += drawn;
  }
  const auto number = static_cast<std::uint32_t>(runs.size());
  const double base = total;
  double at = base;
  bool first = true;
  for (const auto& dispatch : run->dispatches) {
    const double begin = std::max(at, base + dispatch.start_us), end = begin + dispatch.duration_us;
    const auto kind = first ? Kind::host : dispatch.barrier ? Kind::barrier : Kind::between;
    if (begin > at) gaps.push_back({kind, at, begin, begin - at});
    events.push_back({&dispatch, number, 0, begin, end});
    add_group(dispatch, number, begin, end);
    busy += dispatch.duration_us;
    at = end;
    first = false;
  }
  const double end = std::max(at, base + run->wall_us);
  if (end > at) gaps.push_back({Kind::host, at, end, end - at});
  runs.push_back({run, base, end});
  total = end;
}

void TimelineLayout::add_group(const gpu::ProfiledDispatch& dispatch, std::uint32_t run, double begin, double end) {
  const bool inside = !groups.empty() && groups.back().run == run;
  auto name = dispatch.layer >= 0                         ? "layer " + std::to_string(dispatch.layer)
              : !inside || groups.back().name == "before" ? std::string("before")
                                                          : std::string("after");
  if (inside && groups.back().name == name) {
    groups.back().end = end;
    groups.back().busy += end - begin;
  } else {
    groups.push_back({std::move(name), run, begin, end, end - begin});
  }
}

void TimeWindow::set_total(double total) {
  total_ = std::max(total, least_span);
  constexpr double room = 1.04, slack = 0.75;
  if (fit_span_ < total_ || fit_span_ * slack > total_) fit_span_ = total_ * room;
  if (fitted_) fit();
  clamp();
}

void TimeWindow::fit() {
  fitted_ = true;
  begin_ = 0;
  span_ = fit_span_;
}

void TimeWindow::zoom(double at, double factor) {
  const double span = std::clamp(span_ * factor, std::min(least_span, fit_span_), fit_span_);
  begin_ = at - (at - begin_) * span / span_;
  span_ = span;
  fitted_ = span_ >= fit_span_;
  clamp();
}

void TimeWindow::pan(double us) {
  if (fitted_) return;
  begin_ += us;
  clamp();
}

void TimeWindow::clamp() {
  span_ = std::min(span_, fit_span_);
  begin_ = std::clamp(begin_, 0.0, std::max(0.0, fit_span_ - span_));
}

void timeline_bars(const TimelineLayout& layout, const std::vector<std::uint32_t>* which, const TimeWindow& window,
                   float pixels, std::vector<TimelineBar>& bars) {
  bars.clear();
  const std::size_t count = which ? which->size() : layout.events.size();
  const auto index_of = [&](std::size_t i) { return which ? (*which)[i] : static_cast<std::uint32_t>(i); };
  std::size_t first = 0;
  for (std::size_t length = count; length > 0;) {  // the first event that ends in view
    const auto half = length / 2;
    if (layout.events[index_of(first + half)].end < window.begin()) {
      first += half + 1;
      length -= half + 1;
    } else {
      length = half;
    }
  }
  const double scale = static_cast<double>(pixels) / window.span();
  double longest = 0;
  for (std::size_t i = first; i < count; ++i) {
    const auto index = index_of(i);
    const auto& event = layout.events[index];
    if (event.begin > window.end()) break;
    const auto from = static_cast<float>((event.begin - window.begin()) * scale);
    const auto to = static_cast<float>((event.end - window.begin()) * scale);
    const float width = to - from;
    if (width >= 1) {
      bars.push_back({from, to, index, 1, 1});
      continue;
    }
    const float column = std::floor(from);
    if (!bars.empty() && bars.back().to == column + 1 && bars.back().from == column) {
      auto& bar = bars.back();
      ++bar.count;
      bar.covered = std::min(1.0F, bar.covered + width);
      if (event.end - event.begin > longest) {
        longest = event.end - event.begin;
        bar.event = index;
      }
    } else {
      bars.push_back({column, column + 1, index, 1, width});
      longest = event.end - event.begin;
    }
  }
}

}  // namespace glassbox::app::ui
