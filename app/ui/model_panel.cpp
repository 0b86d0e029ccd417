#include "app/ui/model_panel.h"

#include <algorithm>
#include <numeric>

#include "app/ui/format.h"
#include "app/ui/kernels_table.h"
#include "gpu/error.h"

namespace glassbox::app::ui {
namespace {

int compare(const live::TensorInfo& a, const live::TensorInfo& b, TensorColumn column) {
  const auto order = [](const auto& x, const auto& y) { return x < y ? -1 : y < x ? 1 : 0; };
  switch (column) {
    case TensorColumn::name:
      return order(a.name, b.name);
    case TensorColumn::shape:
      return order(a.shape, b.shape);
    case TensorColumn::dtype:
      return order(a.dtype, b.dtype);
    case TensorColumn::elements:
      return order(gpu::element_count(a.shape), gpu::element_count(b.shape));
    case TensorColumn::bytes:
      return order(a.bytes, b.bytes);
  }
  return 0;
}

}  // namespace

std::vector<std::size_t> ordered_tensors(const std::vector<live::TensorInfo>& tensors,
                                         std::span<const TensorOrder> keys, std::string_view filter) {
  std::vector<std::size_t> list;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (contains_text(tensors[i].name, filter) || contains_text(tensors[i].dtype, filter)) list.push_back(i);
  std::stable_sort(list.begin(), list.end(), [&](std::size_t a, std::size_t b) {
    for (const auto& key : keys)
      if (const int order = compare(tensors[a], tensors[b], key.column); order != 0)
        return (order < 0) == key.ascending;
    return false;
  });
  return list;
}

std::string parameter_count(std::size_t elements) {
  const auto value = static_cast<double>(elements);
  if (elements < 10'000) return with_thousands(elements);
  if (value < 999.5e3) return fmt::format("{:.0f} k", value / 1e3);
  if (value < 999.5e6) return fmt::format("{:.{}f} M", value / 1e6, value < 99.5e6 ? 1 : 0);
  return fmt::format("{:.2f} B", value / 1e9);
}

void ModelPanel::draw(Frame& frame) {
  const auto& card = frame.now.model;
  if (!card) {
    empty_state(frame, "No model is open",
                "Open a GGUF file or a folder with safetensors and config.json, or drop one on the window.");
    return;
  }
  if (card != card_) {
    card_ = card;
    order_again_ = true;
    parameters_ = 0;
    for (const auto& tensor : card->tensors) parameters_ += gpu::element_count(tensor.shape);
  }
  ImGui::BeginChild("model");
  draw_card(frame, *card);
  draw_memory(frame, *card);
  draw_tensors(frame, *card);
  ImGui::EndChild();
}

void ModelPanel::draw_card(const Frame& frame, const live::ModelCard& card) {
  ImGui::PushFont(frame.fonts.heading);
  ImGui::TextUnformatted(card.name.c_str());
  ImGui::PopFont();
  muted(frame, card.path);
  const auto& c = card.config;
  const float column = std::max(ImGui::GetContentRegionAvail().x / 2, 300 * frame.scale);
  const bool two = ImGui::GetContentRegionAvail().x > 640 * frame.scale;
  const float left = ImGui::GetCursorPosX();
  int cell = 0;
  const auto row = [&](const char* name, const std::string& value) {
    const bool right = two && cell++ % 2 == 1;
    if (right) ImGui::SameLine(left + column);
    ImGui::TextColored(frame.palette.muted, "%s", name);
    ImGui::SameLine((right ? left + column : left) + 120 * frame.scale);
    ImGui::TextUnformatted(value.c_str());
  };
  row("architecture", fmt::format("{}, {}", c.architecture, parameter_count(parameters_) + " parameters"));
  row("stored as", c.dtype.empty() ? "see the tensors" : c.dtype);
  row("layers", fmt::format("{} of width {}", c.num_hidden_layers, with_thousands(c.hidden_size)));
  row("MLP width", with_thousands(c.intermediate_size));
  row("heads", fmt::format("{} of {}{}", c.num_attention_heads, c.head_dim,
                           c.num_key_value_heads == c.num_attention_heads
                               ? ""
                               : fmt::format(", {} for keys and values", c.num_key_value_heads)));
  row("context",
      fmt::format("{} of {} tokens", with_thousands(card.context), with_thousands(c.max_position_embeddings)));
  static constexpr const char* scalings[] = {"", ", scaled linearly", ", scaled as Llama 3"};
  row("RoPE", fmt::format("theta {}{}", short_number(c.rope_theta), scalings[static_cast<int>(c.rope_scaling.type)]));
  row("RMSNorm", fmt::format("epsilon {}", tick_text(c.rms_norm_eps)));
  row("vocabulary", with_thousands(c.vocab_size) + (c.tie_word_embeddings ? ", tied to the output" : ""));
  row("kernels", card.fusion == gpu::Fusion::on ? "fused where there is a fused one" : "composed, fusion is off");
  if (card.activations != gpu::Activations::f32)
    row("activations", card.activations == gpu::Activations::half ? "float16, one token's where they meet Q4_0 or Q8_0"
                                                                  : "rounded to 8 bits where they meet Q4_0");
  row("tokenizer", card.tokenizer.empty() ? "none: the model came without one" : card.tokenizer);
  row("loaded in", duration_text(card.load_seconds * 1e6));
  if (card.chat_template.empty()) {
    muted(frame, "No chat template: messages are written plainly.");
  } else if (ImGui::CollapsingHeader("Chat template")) {
    const auto lines = static_cast<float>(std::count(card.chat_template.begin(), card.chat_template.end(), '\n') + 2);
    ImGui::PushFont(frame.fonts.mono);
    ImGui::PushStyleColor(ImGuiCol_ChildBg, frame.palette.code_background);
    ImGui::BeginChild("template", {0, std::min(lines * ImGui::GetTextLineHeight(), 240 * frame.scale)}, true,
                      ImGuiWindowFlags_HorizontalScrollbar);
    ImGui::TextUnformatted(card.chat_template.c_str());
    ImGui::EndChild();
    ImGui::PopStyleColor();
    ImGui::PopFont();
  }
}

void ModelPanel::draw_memory(const Frame& frame, const live::ModelCard& card) {
  ImGui::Dummy({0, 2 * frame.scale});
  const auto bytes = [](std::size_t count) { return byte_size(static_cast<double>(count)); };
  const double total = std::max<double>(1, static_cast<double>(card.weight_bytes + card.cache_bytes));
  muted(frame, fmt::format("On the device {}: weights {}, KV cache {} for {} tokens. The file has {}.",
                           bytes(card.weight_bytes + card.cache_bytes), bytes(card.weight_bytes),
                           bytes(card.cache_bytes), with_thousands(card.context), bytes(card.file_bytes)));
  const auto at = ImGui::GetCursorScreenPos();
  const float width = ImGui::GetContentRegionAvail().x, height = 14 * frame.scale;
  const float split = width * static_cast<float>(static_cast<double>(card.weight_bytes) / total);
  auto& draw = *ImGui::GetWindowDrawList();
  draw.AddRectFilled(at, {at.x + width, at.y + height}, colour(frame.palette.series[1]), 3 * frame.scale);
  draw.AddRectFilled(at, {at.x + split, at.y + height}, colour(frame.palette.series[0]), 3 * frame.scale);
  ImGui::InvisibleButton("memory", {std::max(width, 1.0F), height});
  if (ImGui::IsItemHovered()) {
    const bool weights = ImGui::GetIO().MousePos.x < at.x + split;
    const auto text = weights ? "weights: " + bytes(card.weight_bytes) : "KV cache: " + bytes(card.cache_bytes);
    hint(frame, text.c_str());
  }
}

void ModelPanel::order_tensors() {
  ordered_filter_ = filter_.data();
  order_ = ordered_tensors(card_->tensors, keys_, ordered_filter_);
  order_again_ = false;
  shown_elements_ = shown_bytes_ = 0;
  for (const auto i : order_) {
    shown_elements_ += gpu::element_count(card_->tensors[i].shape);
    shown_bytes_ += card_->tensors[i].bytes;
  }
}

void ModelPanel::draw_tensors(const Frame& frame, const live::ModelCard& card) {
  ImGui::SetNextItemWidth(200 * frame.scale);
  ImGui::InputTextWithHint("##filter", "Filter tensors", filter_.data(), filter_.size());
  if (order_again_ || ordered_filter_ != filter_.data()) order_tensors();
  flow(300 * frame.scale);
  ImGui::AlignTextToFramePadding();
  const bool all = order_.size() == card.tensors.size();
  muted(frame, fmt::format("{}{}: {} elements, {}", all ? "" : with_thousands(order_.size()) + " of ",
                           counted(card.tensors.size(), "tensor"), with_thousands(shown_elements_),
                           byte_size(static_cast<double>(shown_bytes_))));
  constexpr auto flags = ImGuiTableFlags_ScrollX | ImGuiTableFlags_ScrollY | ImGuiTableFlags_RowBg |
                         ImGuiTableFlags_Resizable | ImGuiTableFlags_Sortable | ImGuiTableFlags_SortMulti |
                         ImGuiTableFlags_SortTristate | ImGuiTableFlags_NoBordersInBodyUntilResize |
                         ImGuiTableFlags_PadOuterX;
  const float height = std::max(ImGui::GetContentRegionAvail().y, 220 * frame.scale);
  if (!ImGui::BeginTable("tensors", 5, flags, {0, height})) return;
  const float digit = ImGui::CalcTextSize("0").x;
  ImGui::TableSetupScrollFreeze(0, 1);
  // A name must be readable; in a narrow panel the rest is a scroll away.
  ImGui::TableSetupColumn("name", ImGuiTableColumnFlags_WidthFixed,
                          std::max(ImGui::GetContentRegionAvail().x - 46 * digit, 34 * digit));
  ImGui::TableSetupColumn("shape", ImGuiTableColumnFlags_WidthFixed, 11 * digit);
  ImGui::TableSetupColumn("type", ImGuiTableColumnFlags_WidthFixed, 5 * digit);
  ImGui::TableSetupColumn("elements", ImGuiTableColumnFlags_WidthFixed | ImGuiTableColumnFlags_PreferSortDescending,
                          10 * digit);
  ImGui::TableSetupColumn("size", ImGuiTableColumnFlags_WidthFixed | ImGuiTableColumnFlags_PreferSortDescending,
                          10 * digit);
  ImGui::TableHeadersRow();
  if (auto* specs = ImGui::TableGetSortSpecs(); specs && specs->SpecsDirty) {
    keys_.clear();
    for (int i = 0; i < specs->SpecsCount; ++i)
      keys_.push_back({static_cast<TensorColumn>(specs->Specs[i].ColumnIndex),
                       specs->Specs[i].SortDirection == ImGuiSortDirection_Ascending});
    specs->SpecsDirty = false;
    order_tensors();
  }
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(order_.size()));
  while (clipper.Step())
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
      const auto& tensor = card.tensors[order_[static_cast<std::size_t>(i)]];
      ImGui::TableNextRow();
      ImGui::TableNextColumn();
      ImGui::TextUnformatted(tensor.name.c_str());
      ImGui::TableNextColumn();
      right_cell(shape_text(tensor.shape));
      ImGui::TableNextColumn();
      ImGui::TextUnformatted(tensor.dtype.c_str());
      ImGui::TableNextColumn();
      right_cell(with_thousands(gpu::element_count(tensor.shape)));
      ImGui::TableNextColumn();
      right_cell(byte_size(static_cast<double>(tensor.bytes)));
    }
  if (order_.empty()) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    ImGui::TextColored(frame.palette.muted, "No tensor contains \"%s\"", filter_.data());
  }
  ImGui::EndTable();
}

}  // namespace glassbox::app::ui
