#include "model/chat_template.h"

#include <utility>

#include "model/jinja_builtins.h"
#include "model/jinja_eval.h"
#include "model/jinja_parser.h"

namespace glassbox::model {
namespace {

std::string render_plain(std::span<const Message> messages, bool add_generation_prompt) {
  std::string text;
  for (const Message& message : messages) {
    if (message.role == "system")
      text += message.content + "\n\n";
    else
      text += jinja::capitalize(message.role) + ": " + message.content + "\n";
  }
  return add_generation_prompt ? text + "Assistant:" : text;
}

}  // namespace

struct ChatTemplate::Program {
  jinja::Block block;
};

ChatTemplate::ChatTemplate(std::string_view jinja_source, std::string bos_piece, std::string eos_piece)
    : bos_piece_(std::move(bos_piece)), eos_piece_(std::move(eos_piece)) {
  if (jinja_source.empty())
    stop_strings_ = {"\nUser:"};
  else
    program_ = std::make_shared<const Program>(Program{jinja::parse(jinja_source)});
}

std::string ChatTemplate::render(std::span<const Message> messages, bool add_generation_prompt) const {
  if (is_plain()) return render_plain(messages, add_generation_prompt);
  jinja::Heap heap;
  std::vector<jinja::Value> list;
  for (const Message& message : messages)
    list.emplace_back(heap.dict({{"role", message.role}, {"content", message.content}}));
  return jinja::render(program_->block, heap,
                       {{"messages", heap.list(std::move(list))},
                        {"add_generation_prompt", add_generation_prompt},
                        {"bos_token", bos_piece_},
                        {"eos_token", eos_piece_},
                        {"tools", jinja::None{}},
                        {"documents", jinja::None{}}});
}

}  // namespace glassbox::model
