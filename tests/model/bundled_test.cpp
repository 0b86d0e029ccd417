#include <gtest/gtest.h>

#include <array>
#include <fstream>

#include "model/chat_template.h"
#include "model/engine.h"
#include "model/generate.h"
#include "model/safetensors.h"
#include "tests/model/tiny_llama.h"

// The bundled models against what transformers computes with their weights (assets/train/reference.py).
namespace glassbox::model {
namespace {

using glassbox::testing::argmax;
using glassbox::testing::data_dir;
using glassbox::testing::nmse;
using Ids = std::vector<std::uint32_t>;

const std::filesystem::path assets = std::filesystem::path(GLASSBOX_SOURCE_DIR) / "assets";
const std::filesystem::path llama = assets / "llama-glassbox-21m.gguf", xlstm = assets / "llama-glassbox-xlstm-9m";

nlohmann::json expected(const std::string& name) {
  return nlohmann::json::parse(std::ifstream(data_dir() / "bundled" / (name + ".json")));
}

/// The conversation whose ids the references begin with (TEXT in assets/train/reference.py).
const std::vector<Message> fox_conversation{
    {"user", "Tell me a story about a fox."},
    {"assistant",
     "Once there was a fox named Tim. He lived in a small den near the river, and every night he counted the "
     "stars.\n\nOne night, he counted 1,024 of them."},
    {"user", "What did he do then?"}};

class BundledLlama : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { engine_ = std::make_unique<Engine>(EngineOptions{.model = llama}); }
  static void TearDownTestSuite() { engine_.reset(); }
  void SetUp() override { engine_->rewind(0); }
  static Engine& engine() { return *engine_; }

  /// The likeliest answer to what a person wrote, at most `most` tokens, and whether it ended by itself.
  static std::pair<std::string, bool> answer(const std::vector<Message>& messages, std::size_t most) {
    const auto& tokenizer = engine().tokenizer();
    const auto text = engine().chat_template().render(messages, true);
    auto logits = engine().feed(tokenizer.encode_with_specials(text, tokenizer.add_bos()));
    Ids ids;
    while (ids.size() < most) {
      const auto id = argmax(*logits);
      if (engine().ends_answer(id)) return {tokenizer.decode(ids), true};
      ids.push_back(id);
      logits = engine().feed(std::array{id});
    }
    return {tokenizer.decode(ids), false};
  }

 private:
  static std::unique_ptr<Engine> engine_;
};
std::unique_ptr<Engine> BundledLlama::engine_;

TEST_F(BundledLlama, GivesTheLogitsOfTransformersOnTheSameQuantisedWeights) {
  const auto reference = expected("llama");
  const auto want = Safetensors::open(data_dir() / "bundled/llama.safetensors").values("logits");
  const auto all = engine().feed_all(reference["ids"].get<Ids>());
  const std::size_t vocab = engine().config().vocab_size;
  std::vector<float> rows;
  for (const std::size_t at : reference["positions"])
    rows.insert(rows.end(), all.begin() + std::ptrdiff_t(at * vocab), all.begin() + std::ptrdiff_t((at + 1) * vocab));
  EXPECT_LE(nmse(rows, want), 1e-9);
}

TEST_F(BundledLlama, GivesTheGreedyTokensOfTransformers) {
  const auto reference = expected("llama");
  Ids greedy;
  auto logits = engine().feed(reference["prompt_ids"].get<Ids>());
  while (greedy.size() < reference["greedy"].size()) {
    greedy.push_back(argmax(*logits));
    logits = engine().feed(std::array{greedy.back()});
  }
  EXPECT_EQ(greedy, reference["greedy"].get<Ids>());
  EXPECT_EQ(engine().tokenizer().decode(greedy), reference["text"].get<std::string>());
}

TEST_F(BundledLlama, HasTheShapeOfItsModelCard) {
  const auto& config = engine().config();
  EXPECT_EQ(engine().files().name, "Llama-Glassbox-21M");
  EXPECT_EQ(engine().files().weights.main_type(), StorageType::q8_0);
  EXPECT_GE(config.max_position_embeddings, 1024u);
  EXPECT_LT(config.num_key_value_heads, config.num_attention_heads);
  EXPECT_TRUE(config.tie_word_embeddings);
  for (const auto& tensor : engine().files().weights.tensors())
    for (const auto size : tensor.shape) EXPECT_EQ(size % 32, 0u) << tensor.name;
}

TEST_F(BundledLlama, EndsItsTurnByItself) {
  for (const char* text : {"Good morning to you!", "Please tell me a very short story about a snail and a drum."}) {
    engine().rewind(0);
    const auto [answered, ended] = answer({{"user", text}}, 500);
    EXPECT_TRUE(ended) << answered;
    EXPECT_GT(answered.size(), 10u);
    EXPECT_EQ(answered.find("<|"), std::string::npos) << answered;
  }
}

TEST_F(BundledLlama, PutsASystemPromptBeforeTheFirstQuestion) {
  const std::vector<Message> messages{{"system", "Be kind."}, {"user", " Hello "}};
  EXPECT_EQ(engine().chat_template().render(messages, true), "<s><|user|>Be kind.\n\nHello<|end|><|assistant|>");
}

TEST(BundledTokenizer, EncodesARenderedConversationAsItWasTrained) {
  const auto files = open_model(llama);
  const auto from_gguf = Tokenizer::from_vocabulary(*files.vocabulary, llama.string());
  const auto from_model = Tokenizer::from_sentencepiece(xlstm / "tokenizer.model");
  const ChatTemplate of_llama(files.chat_template, "<s>", "</s>");
  const auto config = nlohmann::json::parse(std::ifstream(xlstm / "tokenizer_config.json"));
  const ChatTemplate of_xlstm(config["chat_template"].get<std::string>(), "<s>", "</s>");
  const auto text = of_llama.render(fox_conversation, false);
  EXPECT_EQ(text, of_xlstm.render(fox_conversation, false));
  for (const auto& reference : {expected("llama"), expected("xlstm")}) {
    EXPECT_EQ(from_gguf.encode_with_specials(text, true), reference["ids"].get<Ids>());
    EXPECT_EQ(from_model.encode_with_specials(text, true), reference["ids"].get<Ids>());
  }
}

TEST(BundledTokenizer, KeepsEveryByteAndReadsControlPiecesAsPlainText) {
  const auto tokenizer = Tokenizer::from_sentencepiece(xlstm / "tokenizer.model");
  for (const std::string text : {" a\n\n  b\t\n", "1234567890", "Grüße, 世界 🪁", "<|user|>", "\n"})
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, false)), text);
  EXPECT_GT(tokenizer.encode("<|user|>", false).size(), 1u);
  EXPECT_EQ(tokenizer.encode("2026", false).size(), 4u);
  EXPECT_EQ(tokenizer.vocab_size(), 8192u);
}

}  // namespace
}  // namespace glassbox::model
