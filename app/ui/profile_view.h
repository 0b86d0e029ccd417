#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/ui/frame.h"
#include "gpu/profile.h"

// Rows by kernel of the runs that a panel looks at, made by gpu::Profile and kept until those runs change.
namespace glassbox::app::ui {

struct ProfileChoice {
  enum class Scope : std::uint8_t { token, answer, all };
  enum class Section : std::uint8_t { both, prompt, decode };
  Scope scope = Scope::answer;
  Section section = Section::both;
  bool per_layer = false;
  bool operator==(const ProfileChoice&) const = default;
};

/// "this answer, prompt + decode".
std::string text_of(const ProfileChoice& choice);
/// Two combos in a row.
void draw_choice(const Frame& frame, ProfileChoice& choice);

class ProfileView {
 public:
  using Runs = std::vector<std::shared_ptr<const gpu::ProfiledRun>>;

  /// Brings rows() up to date. While runs are added faster than rows are made of them, that is put off: it never takes
  /// more than a tenth of the time. `now_seconds` by ImGui's clock.
  void update(const Frame& frame, const ProfileChoice& choice, double now_seconds);

  const std::vector<gpu::ProfileRow>& rows() const { return rows_; }  ///< largest total first
  const gpu::ProfileTotals& totals() const { return totals_; }
  std::vector<gpu::ProfileRow> rows(gpu::Profile::By by) const;
  /// us of each dispatch of that kernel, of one layer or of all, in order of time.
  std::vector<double> times(const std::string& kernel, std::optional<int> layer) const;
  /// Grows whenever rows() changes.
  std::uint64_t version() const { return version_; }
  const ProfileChoice& choice() const { return choice_; }

  /// The runs of the choice: of one section or of both.
  static Runs chosen(const Frame& frame, const ProfileChoice& choice);

 private:
  void rebuild();

  ProfileChoice choice_;
  Runs runs_;
  std::shared_ptr<const void> source_;  ///< what runs_ was chosen from: while it is the same, there is nothing to do
  gpu::Roofline roofline_;
  double next_ = 0;  ///< seconds; not before then
  gpu::Profile profile_{gpu::TimerSource::cpu_clock};
  std::size_t added_ = 0;  ///< of runs_, to profile_
  bool outdated_ = false;
  std::vector<gpu::ProfileRow> rows_;
  gpu::ProfileTotals totals_;
  std::uint64_t version_ = 0;
};

/// As `glassbox profile -o csv` writes them, without the device's columns.
std::string rows_as_csv(const std::vector<gpu::ProfileRow>& rows);

/// A row with the one of the same kernel and layer in a table stored before; either may be missing.
struct ComparedRow {
  const gpu::ProfileRow *then = nullptr, *now = nullptr;
  const gpu::ProfileRow& any() const { return now ? *now : *then; }
};
/// In the order of `now`, followed by what is only in `then`.
std::vector<ComparedRow> compare_rows(const std::vector<gpu::ProfileRow>& then,
                                      const std::vector<gpu::ProfileRow>& now);

}  // namespace glassbox::app::ui
