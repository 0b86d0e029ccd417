#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace glassbox::model {

struct Message {
  std::string role;  ///< "system", "user" or "assistant"
  std::string content;
};

/// Turns a conversation into the text a model was trained to continue.
///
/// With a template (Jinja, from a GGUF's tokenizer.chat_template or tokenizer_config.json) that is what the template
/// prints, given messages, add_generation_prompt, bos_token, eos_token, and tools and documents as none, with
/// whitespace as transformers sets it (trim_blocks, lstrip_blocks). The text holds special pieces ("<|user|>"):
/// encode it with Tokenizer::encode_with_specials.
///
/// With an empty source it is the plain form for models that were never trained to chat:
/// ```
/// the system message
///
/// User: a question
/// Assistant: an answer
/// User: another question
/// Assistant:
/// ```
/// where the last line, without a space after it, is the generation prompt.
class ChatTemplate {
 public:
  /// Parses the template. Throws Error naming its line where it is not understood.
  ChatTemplate(std::string_view jinja_source, std::string bos_piece, std::string eos_piece);

  /// Throws Error with the template's own words where it refuses the conversation (raise_exception).
  std::string render(std::span<const Message> messages, bool add_generation_prompt) const;

  bool is_plain() const { return !program_; }
  /// Texts that end an answer in the plain form; none with a template, whose models say so with a token.
  const std::vector<std::string>& stop_strings() const { return stop_strings_; }

 private:
  struct Program;

  std::shared_ptr<const Program> program_;
  std::string bos_piece_, eos_piece_;
  std::vector<std::string> stop_strings_;
};

}  // namespace glassbox::model
