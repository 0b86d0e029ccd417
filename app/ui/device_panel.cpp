#include "app/ui/device_panel.h"

#include <algorithm>

#include "app/ui/format.h"
#include "app/ui/landmarks.h"
#include "gpu/error.h"

namespace glassbox::app::ui {
namespace {

void spaced_heading(const Frame& frame, const char* text) {
  ImGui::Dummy({0, 4 * frame.scale});
  ImGui::PushFont(frame.fonts.bold);
  ImGui::TextUnformatted(text);
  ImGui::PopFont();
}

constexpr ImGuiTableFlags device_table_flags = ImGuiTableFlags_RowBg | ImGuiTableFlags_PadOuterX;

}  // namespace

void DevicePanel::draw(Frame& frame) {
  const auto& card = frame.now.device;
  if (!card) {
    empty_state(frame, "No device yet", "The driver is looked at when the first model is opened.");
    return;
  }
  ImGui::BeginChild("device");
  draw_driver(frame, *card);
  draw_load_paths(frame, *card);
  draw_features(frame, *card);
  draw_functions(frame, *card);
  draw_limits(*card);
  ImGui::EndChild();
}

void DevicePanel::draw_driver(const Frame& frame, const live::DeviceCard& card) {
  ImGui::PushFont(frame.fonts.heading);
  wrapped(frame.palette.text, card.renderer);
  ImGui::PopFont();
  if (card.features.software)
    wrapped(
        frame.palette.warning,
        "Software driver: the kernels run on the CPU's cores. Results are the same, times say nothing about a GPU.");
  if (!card.pretended.empty())
    wrapped(frame.palette.warning, fmt::format("Its limits are pretended: those of \"{}\".", card.pretended));
  const float width = 110 * frame.scale;
  const auto row = [&](const char* name, const std::string& value) {
    ImGui::TextColored(frame.palette.muted, "%s", name);
    ImGui::SameLine(width);
    wrapped(frame.palette.text, value);
  };
  row("vendor", card.vendor);
  row("version", card.version);
  ImGui::TextColored(frame.palette.muted, "timer");
  ImGui::SameLine(width);
  const bool gpu_clock = card.timer == gpu::TimerSource::gpu_timestamp;
  wrapped(gpu_clock ? frame.palette.good : frame.palette.warning,
          gpu_clock ? std::string("the device's own timestamps")
                    : std::string("the CPU's clock: each time includes a launch and a wait"));
  row("self-test", card.timer_verdict);
  if (const auto& roofline = frame.now.roofline)
    row("ceilings",
        fmt::format("{} GB/s, {} GFLOP/s float32, measured {}", short_number(roofline->bytes_per_second / 1e9),
                    short_number(roofline->flops_per_second / 1e9), roofline->date));
  else
    row("ceilings", "not measured yet: the Roofline panel measures them");
  row("cache", card.cache_directory.empty() ? "none: nothing is kept for the next start" : card.cache_directory);
}

void DevicePanel::draw_load_paths(const Frame& frame, const live::DeviceCard& card) {
  spaced_heading(frame, "How kernels read their inputs");
  static constexpr const char* names[] = {"storage buffer", "image", "texel buffer"};
  const double best = *std::max_element(card.load_path_speed.begin(), card.load_path_speed.end());
  if (best <= 0) muted(frame, "The speeds were not measured: the path was given by hand, or there is only one.");
  if (!ImGui::BeginTable("paths", 3, device_table_flags)) return;
  ImGui::TableSetupColumn("path", ImGuiTableColumnFlags_WidthFixed, 170 * frame.scale);
  ImGui::TableSetupColumn("speed", ImGuiTableColumnFlags_WidthFixed, 80 * frame.scale);
  ImGui::TableSetupColumn("bar", ImGuiTableColumnFlags_WidthStretch);
  for (std::size_t i = 0; i < card.load_path_speed.size(); ++i) {
    const bool used = static_cast<std::size_t>(card.load_path) == i;
    const double speed = card.load_path_speed[i];
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    ImGui::TextColored(used ? frame.palette.accent : frame.palette.text, "%s%s", names[i], used ? ", used" : "");
    ImGui::TableNextColumn();
    right_cell(speed > 0 ? fmt::format("{} GB/s", short_number(speed)) : "not here",
               speed > 0 ? frame.palette.text : frame.palette.muted);
    ImGui::TableNextColumn();
    if (speed <= 0 || best <= 0) continue;
    const auto at = ImGui::GetCursorScreenPos();
    const float room = std::min(ImGui::GetContentRegionAvail().x, 360 * frame.scale);
    const float height = ImGui::GetTextLineHeight();
    ImGui::GetWindowDrawList()->AddRectFilled(
        {at.x, at.y + height * 0.2F}, {at.x + room * static_cast<float>(speed / best), at.y + height * 0.8F},
        colour(used ? frame.palette.accent : frame.palette.muted), 2 * frame.scale);
  }
  ImGui::EndTable();
}

void DevicePanel::draw_features(const Frame& frame, const live::DeviceCard& card) {
  spaced_heading(frame, "Features");
  struct Row {
    const char* name;
    bool has;
    const char *with, *without;
  };
  const auto& f = card.features;
  const Row rows[] = {
      {"Timestamps", f.timestamps, "Each kernel is timed on the device itself.",
       "Times are taken by the CPU's clock, around a launch and a wait."},
      {"Texel buffers", f.texel_buffers, "Weights can be read through the texture units.",
       "Weights are read through storage buffers or images."},
      {"Persistent maps", f.buffer_storage, "Buffers can stay mapped for the CPU; no kernel needs it.",
       "Each result read maps a buffer anew."},
      {"Subgroups", f.subgroups, "Sums within a workgroup need no shared memory.",
       "Sums within a workgroup go through shared memory: more barriers."},
      {"Shuffles", f.shuffles, "Neighbours in a workgroup hand each other numbers.",
       "Neighbours in a workgroup go through shared memory."},
      {"Half-floats", f.half_floats, "Products can be computed two at a time (--activations half).",
       "--activations half computes in float32, and is slower."},
      {"precise", f.precise, "The compiler keeps the order of operations: exp is right within 1 ulp.",
       "The compiler may reorder operations: exp is right within 1.5 ulp."},
      {"Program binaries", f.program_binary, "Compiled kernels are kept on disk: the next start is fast.",
       "Every start compiles all kernels again."},
  };
  if (!ImGui::BeginTable("features", 3, device_table_flags)) return;
  ImGui::TableSetupColumn("feature", ImGuiTableColumnFlags_WidthFixed, 140 * frame.scale);
  ImGui::TableSetupColumn("has", ImGuiTableColumnFlags_WidthFixed, 40 * frame.scale);
  ImGui::TableSetupColumn("meaning", ImGuiTableColumnFlags_WidthStretch);
  for (const auto& row : rows) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(row.name);
    ImGui::TableNextColumn();
    ImGui::TextColored(row.has ? frame.palette.good : frame.palette.warning, "%s", row.has ? "yes" : "no");
    ImGui::TableNextColumn();
    wrapped(frame.palette.muted, row.has ? row.with : row.without);
  }
  ImGui::EndTable();
}

void DevicePanel::draw_functions(Frame& frame, const live::DeviceCard& card) {
  spaced_heading(frame, "Accuracy of built-in functions");
  if (card.functions.empty())
    muted(frame, "Not measured yet. OpenGL ES bounds these errors loosely; each driver has its own.");
  ImGui::BeginDisabled(frame.now.busy() || !frame.now.model);
  if (ImGui::Button(card.functions.empty() ? "Measure" : "Measure again")) frame.worker.measure_functions();
  ImGui::EndDisabled();
  Landmarks::mark("measure functions");
  hint(frame, !frame.now.model   ? "Open a model first."
              : frame.now.busy() ? "The engine is busy: wait or stop it first."
                                 : "Compares each function with float64 over its usual range.");
  if (card.functions.empty() || !ImGui::BeginTable("functions", 3, device_table_flags)) return;
  ImGui::TableSetupColumn("function", ImGuiTableColumnFlags_WidthFixed, 140 * frame.scale);
  ImGui::TableSetupColumn("max ulp", ImGuiTableColumnFlags_WidthFixed, 100 * frame.scale);
  ImGui::TableSetupColumn("over", ImGuiTableColumnFlags_WidthStretch);
  ImGui::TableHeadersRow();
  for (const auto& function : card.functions) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(function.function.c_str());
    ImGui::TableNextColumn();
    right_cell(short_number(function.max_ulp), function.max_ulp > 1000 ? frame.palette.warning : frame.palette.text);
    ImGui::TableNextColumn();
    ImGui::TextColored(frame.palette.muted, "%s", function.range.c_str());
  }
  ImGui::EndTable();
}

void DevicePanel::draw_limits(const live::DeviceCard& card) {
  if (!ImGui::CollapsingHeader("Limits")) return;
  const auto& l = card.limits;
  const std::pair<const char*, std::string> rows[] = {
      {"OpenGL ES", fmt::format("{}.{}", card.features.es_version / 100, card.features.es_version / 10 % 10)},
      {"Storage buffers in a kernel", std::to_string(l.ssbo_bindings)},
      {"Largest storage buffer bound", byte_size(static_cast<double>(l.ssbo_block_bytes))},
      {"Invocations in a workgroup", with_thousands(l.invocations)},
      {"Shared memory of a workgroup", byte_size(l.shared_bytes)},
      {"Workgroups in a dispatch", fmt::format("{} × {} × {}", with_thousands(l.groups[0]), with_thousands(l.groups[1]),
                                               with_thousands(l.groups[2]))},
      {"Images in a kernel", std::to_string(l.images)},
      {"Texture units of a kernel", std::to_string(l.textures)},
      {"Texels in a texel buffer", l.texel_buffer_texels ? with_thousands(l.texel_buffer_texels) : "none"},
      {"Alignment of storage ranges", byte_size(l.ssbo_alignment)},
      {"Alignment of uniform ranges", byte_size(l.ubo_alignment)}};
  if (!ImGui::BeginTable("limits", 2, device_table_flags)) return;
  ImGui::TableSetupColumn("limit", ImGuiTableColumnFlags_WidthFixed, ImGui::GetFontSize() * 16);
  ImGui::TableSetupColumn("value", ImGuiTableColumnFlags_WidthStretch);
  for (const auto& [name, value] : rows) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(name);
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(value.c_str());
  }
  ImGui::EndTable();
}

}  // namespace glassbox::app::ui
