#include <nlohmann/json.hpp>

#include "app/cli/command.h"
#include "gpu/error.h"
#include "model/gguf.h"
#include "model/mapped_file.h"
#include "model/tokenizer.h"
#include "model/utf8.h"

namespace glassbox::app {
namespace {

/// The tokenizer alone of a model directory, a weights file in one, a tokenizer.model, or a GGUF, which may hold a
/// vocabulary and nothing else.
model::Tokenizer load_tokenizer(const std::filesystem::path& path) {
  std::error_code ignored;
  require(std::filesystem::exists(path, ignored), "{}: there is no such file or directory", path.string());
  const bool directory = std::filesystem::is_directory(path, ignored);
  if (directory || path.extension() == ".safetensors") {
    const auto file = (directory ? path : path.parent_path()) / "tokenizer.model";
    require(model::file_exists(file), "{}: has no tokenizer.model", path.string());
    return model::Tokenizer::from_sentencepiece(file);
  }
  if (!model::MappedFile(path).text().starts_with("GGUF")) return model::Tokenizer::from_sentencepiece(path);
  const auto vocabulary = model::Gguf::open(path).vocabulary();
  require(vocabulary.has_value(), "{}: holds no vocabulary", path.string());
  return model::Tokenizer::from_vocabulary(*vocabulary, path.string());
}

struct TokenizeOptions {
  ModelOptions model;
  std::string text, file;
  bool json = false, no_bos = false;
};

int tokenize(const TokenizeOptions& options, bool from_file) {
  const auto tokenizer = load_tokenizer(options.model.model_path());
  auto text = options.text;
  if (from_file) {
    text = model::MappedFile(options.file).text();
    if (const auto offset = model::find_invalid_utf8(text))
      fail("{}: is not valid UTF-8 at byte {}", options.file, *offset);
  }
  const auto ids = tokenizer.encode(text, !options.no_bos && tokenizer.add_bos());
  if (!options.json) {
    for (const auto id : ids) {
      const auto& piece = tokenizer.piece(id);
      // One line a token: a piece that is a newline or no text is shown escaped.
      const bool plain = !model::find_invalid_utf8(piece) && piece.find_first_of("\n\r\t\033") == std::string::npos;
      fmt::print("{:>6}  {}\n", id, plain ? piece : fmt::format("{:?}", std::string_view(piece)));
    }
    return 0;
  }
  nlohmann::ordered_json report = {{"tokens", ids}, {"pieces", nlohmann::ordered_json::array()}};
  for (const auto id : ids) report["pieces"].push_back(tokenizer.piece(id));
  // A GGUF's pieces may be no valid UTF-8.
  fmt::print("{}\n", report.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  return 0;
}

Command add_tokenize(CLI::App& program, CLI::App*& self) {
  auto options = std::make_shared<TokenizeOptions>();
  self = program.add_subcommand("tokenize", "Show the tokens of a text; -m may also be a tokenizer.model");
  options->model.add_to(*self);
  auto* text = self->add_option("text", options->text, "Text; after -- where it begins with a dash");
  auto* file = self->add_option("--file", options->file, "File to read it from instead, UTF-8")->excludes(text);
  self->add_flag("--json", options->json, "Print {\"tokens\": [ids], \"pieces\": [as the vocabulary has them]}");
  self->add_flag("--no-bos", options->no_bos, "Do not begin with the BOS token");
  return [options, text, file] {
    require(text->count() + file->count() > 0, "give a text to tokenize, or --file FILE");
    return tokenize(*options, file->count() > 0);
  };
}

struct DetokenizeOptions {
  ModelOptions model;
  std::string ids;
};

Command add_detokenize(CLI::App& program, CLI::App*& self) {
  auto options = std::make_shared<DetokenizeOptions>();
  self = program.add_subcommand("detokenize", "Print the text of token ids");
  options->model.add_to(*self);
  self->add_option("ids", options->ids, "Token ids as 1,2,3")->required();
  return [options] {
    const auto ids = parse_ids("detokenize", options->ids);
    fmt::print("{}\n", load_tokenizer(options->model.model_path()).decode(ids));
    return 0;
  };
}

const CommandRegistration tokenize_registered{40, add_tokenize};
const CommandRegistration detokenize_registered{41, add_detokenize};

}  // namespace
}  // namespace glassbox::app
