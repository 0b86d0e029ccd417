#include "app/cli/command.h"
#include "app/ui/window.h"
#include "gpu/error.h"
#include "model/conversation.h"
#include "model/xdg.h"

namespace glassbox::app {
namespace {

Command add(CLI::App& program, CLI::App*& self) {
  auto options = std::make_shared<ModelOptions>();
  self = program.add_subcommand("gui", "Open the window (as glassbox alone does)");
  options->add_to(*self);
  return [options] {
    ui::WindowOptions window{.engine = options->engine_options_if_any(),
                             .model_given = options->model_given(),
                             .store = model::ConversationStore::default_path(),
                             .preferences = model::config_home() / "window.json"};
    ui::run_window(std::move(window));
    return 0;
  };
}

const CommandRegistration registered{5, add};

}  // namespace
}  // namespace glassbox::app
