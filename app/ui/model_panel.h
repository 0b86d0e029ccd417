#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/ui/plot.h"

namespace glassbox::app::ui {

enum class TensorColumn : std::uint8_t { name, shape, dtype, elements, bytes };
struct TensorOrder {
  TensorColumn column;
  bool ascending;
};
/// Indices of the tensors whose name or dtype contains `filter` (letters of either case), by the keys in turn; ties in
/// the file's order.
std::vector<std::size_t> ordered_tensors(const std::vector<live::TensorInfo>& tensors,
                                         std::span<const TensorOrder> keys, std::string_view filter);
/// "101,433,344 elements (101.4 M)" style short count: "22.3 M", "1.24 B", "950".
std::string parameter_count(std::size_t elements);

/// What is loaded: architecture, memory, tokenizer, chat template, tensors.
class ModelPanel {
 public:
  void draw(Frame& frame);
  const std::vector<std::size_t>& order() const { return order_; }  ///< of the tensors on screen

 private:
  void draw_card(const Frame& frame, const live::ModelCard& card);
  void draw_memory(const Frame& frame, const live::ModelCard& card);
  void order_tensors();
  void draw_tensors(const Frame& frame, const live::ModelCard& card);

  std::shared_ptr<const live::ModelCard> card_;  ///< that order_ and the sums are of
  std::size_t parameters_ = 0;
  std::vector<std::size_t> order_;
  std::size_t shown_elements_ = 0, shown_bytes_ = 0;
  std::vector<TensorOrder> keys_;
  std::array<char, 64> filter_{};
  std::string ordered_filter_;
  bool order_again_ = true;
};

}  // namespace glassbox::app::ui
