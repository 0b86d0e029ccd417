#include "model/gguf_writer.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/model/container_builder.h"

namespace glassbox::model {
namespace {

using glassbox::testing::GgufBuilder;
using glassbox::testing::raw;
using glassbox::testing::TempDir;
using glassbox::testing::write_file;

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
std::string counting(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i);
  return bytes;
}
void write_gguf(GgufWriter& writer, const std::string& bytes) { writer.write(std::as_bytes(std::span(bytes))); }

TEST(GgufWriter, WritesTheBytesOfTheFormat) {
  const TempDir dir;
  const auto path = dir.path() / "w.gguf";
  GgufWriter writer;
  writer.add("architecture", "llama");
  writer.add("size", std::uint32_t{7});
  writer.add("eps", 1e-5F);
  writer.add("flag", true);
  writer.add("words", std::vector<std::string>{"a", "", "\u2581b"});
  writer.add("scores", std::vector<float>{1.5F, -2});
  writer.add("kinds", std::vector<std::int32_t>{-1, 3});
  writer.add_tensor("blk.0.attn_q.weight", StorageType::q4_0, {3, 64});
  writer.add_tensor("norm", StorageType::f32, {3});
  writer.begin(path);
  write_gguf(writer, counting(100));
  write_gguf(writer, counting(108).substr(100));
  write_gguf(writer, counting(12));
  const auto size = writer.finish();
  // The builder pads before a tensor, the format also after the last.
  auto expected =
      GgufBuilder()
          .text("architecture", "llama")
          .u32("size", 7)
          .f32("eps", 1e-5F)
          .flag("flag", true)
          .array("words", 8, 3, GgufBuilder::string("a") + GgufBuilder::string("") + GgufBuilder::string("\u2581b"))
          .array("scores", 6, 2, raw(1.5F) + raw(-2.F))
          .array("kinds", 5, 2, raw(-1) + raw(3))
          .tensor("blk.0.attn_q.weight", {64, 3}, 2, 108)
          .tensor("norm", {3}, 0, 12)
          .build();
  expected.resize((expected.size() + 31) / 32 * 32);
  EXPECT_EQ(content(path), expected);
  EXPECT_EQ(size, expected.size());
}
TEST(GgufWriter, CopiesValuesOfEveryType) {
  const TempDir dir;
  const auto built = GgufBuilder()
                         .key("a", 0, "\xff")
                         .key("b", 3, raw<std::int16_t>(-2))
                         .key("c", 12, raw(0.1))
                         .text("d", "text")
                         .array("e", 8, 2, GgufBuilder::string("x") + GgufBuilder::string("yz"))
                         .array("f", 9, 1, raw<std::uint32_t>(0) + raw<std::uint64_t>(2) + "ab")
                         .build();
  const auto gguf = Gguf::open(write_file(dir.path() / "in.gguf", built));
  GgufWriter writer;
  for (const auto& [key, value] : gguf.metadata()) writer.add(key, value);
  writer.begin(dir.path() / "out.gguf");
  writer.finish();
  EXPECT_EQ(content(dir.path() / "out.gguf").substr(0, built.size()), built);
}
TEST(GgufWriter, EveryStorageTypeHasGgmlsNumber) {
  const std::vector<std::pair<StorageType, std::uint32_t>> numbers{
      {StorageType::f32, 0},    {StorageType::f16, 1},     {StorageType::q4_0, 2},    {StorageType::q4_1, 3},
      {StorageType::q5_0, 6},   {StorageType::q5_1, 7},    {StorageType::q8_0, 8},    {StorageType::q2_k, 10},
      {StorageType::q3_k, 11},  {StorageType::q4_k, 12},   {StorageType::q5_k, 13},   {StorageType::q6_k, 14},
      {StorageType::bf16, 30},  {StorageType::iq4_nl, 20}, {StorageType::iq4_xs, 23}, {StorageType::tq1_0, 34},
      {StorageType::tq2_0, 35}, {StorageType::mxfp4, 39}};
  for (const auto& [type, number] : numbers) EXPECT_EQ(ggml_type(type), number) << name_of(type);
}
TEST(GgufWriter, TensorsWithoutElementsTakeNoBytes) {
  const TempDir dir;
  GgufWriter writer;
  writer.add_tensor("a", StorageType::f32, {0, 8});
  writer.add_tensor("b", StorageType::f32, {1});
  writer.add_tensor("c", StorageType::f32, {0});
  writer.begin(dir.path() / "w.gguf");
  write_gguf(writer, "abcd");
  writer.finish();
  EXPECT_EQ(Gguf::open(dir.path() / "w.gguf").weights().at("b").bytes[3], std::byte{'d'});
}
TEST(GgufWriter, LeavesNothingBehindUnlessFinished) {
  const TempDir dir;
  {
    GgufWriter writer;
    writer.add_tensor("a", StorageType::f32, {4});
    writer.begin(dir.path() / "w.gguf");
    write_gguf(writer, counting(8));
    EXPECT_ERROR(writer.finish(), "bytes of 1 tensors are missing");
    EXPECT_ERROR(write_gguf(writer, counting(9)), "9 bytes do not fit");
    EXPECT_FALSE(std::filesystem::is_empty(dir.path())) << "the bytes are in a file of another name";
    EXPECT_FALSE(std::filesystem::exists(dir.path() / "w.gguf"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}
TEST(GgufWriter, RefusesRowsOfPartBlocks) {
  GgufWriter writer;
  EXPECT_ERROR(writer.add_tensor("a", StorageType::q4_k, {4, 128}),
               "tensor 'a' of shape [4, 128] cannot be stored as q4_k");
}

TEST(GgufName, IsTheInverse) {
  for (const char* name : {"token_embd.weight", "output_norm.weight", "output.weight", "blk.0.attn_norm.weight",
                           "blk.12.attn_k.bias", "blk.3.ffn_down.weight", "blk.3.attn_q_norm.weight",
                           "rope_freqs.weight", "blk.0.attn_q.scale", "blk.0", "model", ""})
    EXPECT_EQ(gguf_name(hugging_face_name(name)), name);
}

}  // namespace
}  // namespace glassbox::model
