#pragma once

#include <functional>
#include <memory>

#include "app/ui/preferences.h"

namespace glassbox::app::ui {

/// Everything inside the window: the conversations, the chat, the instruments, dialogs, shortcuts. Needs ImGui alone,
/// so that tests can draw it without a window.
class Shell {
 public:
  /// `preferences` outlives the shell and changes with what a person does.
  Shell(live::Worker& worker, Preferences& preferences, model::EngineOptions engine_options);
  ~Shell();
  Shell(const Shell&) = delete;
  Shell& operator=(const Shell&) = delete;

  /// One frame over the whole viewport.
  void draw(const live::Snapshot& now, const Fonts& fonts, float scale);

  /// A file or directory dropped on the window: a model, or a conversation's JSON.
  void drop(const std::filesystem::path& path);
  void open_model(const std::filesystem::path& path);

  /// Called when something worth keeping at once has changed: the conversation on screen, a model opened.
  std::function<void()> save;

 private:
  struct Parts;
  void shortcuts(Frame& frame);
  void draw_sidebar(Frame& frame, float width);
  void draw_inspector(Frame& frame, float width);
  void draw_splitter(const char* name, float& width, float direction, float scale);
  void draw_status(Frame& frame);
  void draw_help(Frame& frame);
  void follow(const live::Snapshot& now);
  void show_panel(std::size_t index);

  live::Worker& worker_;
  Preferences& preferences_;
  model::EngineOptions engine_options_;
  View view_;
  std::unique_ptr<Parts> parts_;
  bool help_ = false, select_panel_ = true;
  std::uint64_t notice_seen_ = 0;
  double notice_since_ = 0;
};

}  // namespace glassbox::app::ui
