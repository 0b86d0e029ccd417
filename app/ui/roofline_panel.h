#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/ui/plot.h"
#include "app/ui/profile_view.h"

namespace glassbox::app::ui {

/// A kernel in the plane of the roofline model (Williams, Waterman & Patterson 2009).
struct RooflinePoint {
  const gpu::ProfileRow* row;
  double intensity;  ///< flop a byte
  double gigaflops;
};
/// Of the kernels that compute and move something; the others have no place in the plane.
std::vector<RooflinePoint> roofline_points(const std::vector<gpu::ProfileRow>& rows);
/// Flop a byte from which on computing limits, not moving.
double ridge_of(const gpu::Roofline& roofline);

/// The measured ceilings of the device and where its kernels stand below them.
class RooflinePanel {
 public:
  void draw(Frame& frame);

  ProfileChoice& choice() { return choice_; }
  /// Where the last frame drew the plot, and the pixel of a kernel in it; none where it has no place.
  const Area& plot() const { return plot_; }
  std::optional<ImVec2> pixel_of(const std::string& kernel) const;

 private:
  void draw_header(Frame& frame);
  void draw_plot(Frame& frame, float height);
  void choose_scales(const Frame& frame);
  void draw_ceilings(ImDrawList& draw, const Frame& frame) const;
  void draw_points(ImDrawList& draw, Frame& frame, bool hovered, bool clicked);
  void draw_names(ImDrawList& draw, const Frame& frame) const;
  void point_tooltip(const Frame& frame, const RooflinePoint& point) const;
  void draw_notes(const Frame& frame) const;
  ImVec2 at(const RooflinePoint& point) const;
  float radius(const Frame& frame, const RooflinePoint& point) const;

  ProfileChoice choice_{.section = ProfileChoice::Section::decode};
  ProfileView view_;
  std::vector<RooflinePoint> points_;
  std::uint64_t version_ = 0;
  Scale x_, y_;
  Area plot_{};
};

}  // namespace glassbox::app::ui
