#include "model/safetensors.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>

#include "tests/model/container_builder.h"

namespace glassbox::model {
namespace {

using glassbox::testing::entry;
using glassbox::testing::raw;
using glassbox::testing::safetensors_file;
using glassbox::testing::TempDir;
using glassbox::testing::write_file;

class SafetensorsTest : public ::testing::Test {
 protected:
  Safetensors open(const std::string& content) {
    return Safetensors::open(write_file(dir.path() / "m.safetensors", content));
  }
  /// A file whose header is `header` and which has `data` bytes of tensors.
  Safetensors open(const std::string& header, std::size_t data) { return open(safetensors_file(header, data)); }
  Weights open_shards(const std::string& index) {
    write_file(dir.path() / "a.safetensors", safetensors_file("{" + entry("x", "F32", "[1]", "[0,4]") + "}", 4));
    write_file(
        dir.path() / "b.safetensors",
        safetensors_file("{" + entry("y", "F16", "[2]", "[0,4]") + "," + entry("z", "F16", "[1]", "[4,6]") + "}", 6));
    return load_safetensors(write_file(dir.path() / "model.safetensors.index.json", index));
  }
  void save(const std::vector<SafetensorsTensor>& tensors) {
    save_safetensors(dir.path() / "out.safetensors", tensors);
  }

  TempDir dir;
  const std::string two = "{" + entry("b", "F32", "[1,2]", "[0,8]") + "," + entry("a", "U8", "[3]", "[8,11]") +
                          R"(,"__metadata__":{"format":"pt"}}  )";
  const std::vector<std::byte> bytes{std::byte{0}, std::byte{1}, std::byte{2}, std::byte{3}};
};

TEST_F(SafetensorsTest, ListsTensorsInTheOrderOfTheirBytes) {
  const auto file = open(two, 11);
  ASSERT_EQ(file.tensors().size(), 2U);
  EXPECT_EQ(file.tensors()[0].name, "b");
  EXPECT_EQ(file.tensors()[0].dtype, "F32");
  EXPECT_EQ(file.tensors()[0].shape, (gpu::Shape{1, 2}));
  EXPECT_EQ(file.at("a").bytes[2], std::byte{10});
  EXPECT_EQ(file.metadata().at("format"), "pt");
}
TEST_F(SafetensorsTest, ReadsScalarsAndEmptyTensors) {
  const auto file = open("{" + entry("s", "I16", "[]", "[0,2]") + "," + entry("e", "F32", "[0,7]", "[2,2]") + "}", 2);
  EXPECT_EQ(file.values("s"), std::vector<double>{0x0100});
  EXPECT_TRUE(file.values("e").empty());
}
TEST_F(SafetensorsTest, ReadsAFileWithoutTensors) { EXPECT_TRUE(open("{}", 0).tensors().empty()); }

TEST_F(SafetensorsTest, GivesTheValuesOfEveryNumber) {
  const std::string header = "{" + entry("f64", "F64", "[1]", "[0,8]") + "," + entry("i64", "I64", "[1]", "[8,16]") +
                             "," + entry("i8", "I8", "[1]", "[16,17]") + "," + entry("u8", "U8", "[1]", "[17,18]") +
                             "," + entry("bf16", "BF16", "[1]", "[18,20]") + "," +
                             entry("f8", "F8_E4M3", "[1]", "[20,21]") + "}";
  const auto file = open(raw<std::uint64_t>(header.size()) + header + raw(0.1) + raw<std::int64_t>(-5) + "\xff\xff" +
                         raw<std::uint16_t>(0xC020) + "x");
  EXPECT_EQ(file.values("f64").at(0), 0.1);
  EXPECT_EQ(file.values("i64").at(0), -5);
  EXPECT_EQ(file.values("i8").at(0), -1);
  EXPECT_EQ(file.values("u8").at(0), 255);
  EXPECT_EQ(file.values("bf16").at(0), -2.5);
  EXPECT_ERROR(file.values("f8"), "tensor 'f8' is stored as F8_E4M3");
}

TEST_F(SafetensorsTest, WeightsRefuseADtypeOnlyWhenAskedForIt) {
  const auto weights = load_safetensors(write_file(dir.path() / "w.safetensors", safetensors_file(two, 11)));
  EXPECT_EQ(weights.at("b", {1, 2}).type, StorageType::f32);
  EXPECT_EQ(weights.tensors().size(), 1U);
  EXPECT_EQ(weights.total_bytes(), 8U);
  EXPECT_TRUE(weights.contains("a"));
  EXPECT_ERROR(weights.at("a"), "tensor 'a' is stored as U8, expected one of f32, f16, bf16, q8_0, q4_0");
}
TEST_F(SafetensorsTest, WeightsNameWhatIsMissing) {
  const auto weights = load_safetensors(write_file(dir.path() / "w.safetensors", safetensors_file(two, 11)));
  EXPECT_EQ(weights.find("c"), nullptr);
  EXPECT_ERROR(weights.at("c"), "w.safetensors: tensor 'c' is missing");
  EXPECT_ERROR(weights.at("b", {2, 1}), "tensor 'b' has shape [1, 2], expected [2, 1]");
}
TEST_F(SafetensorsTest, WeightsOutliveTheReader) {
  const auto weights = load_safetensors(write_file(dir.path() / "w.safetensors", safetensors_file(two, 11)));
  EXPECT_EQ(weights.at("b").bytes[7], std::byte{7});
}

/// Bytes of files that this process has in memory.
std::size_t resident_file_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0, resident = 0, shared = 0;
  statm >> total >> resident >> shared;
  return shared * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}
TEST_F(SafetensorsTest, ReleasedWeightsLeaveMemory) {
  const std::vector<std::byte> large(16 << 20, std::byte{1});
  save({{"a", "F32", {large.size() / 4}, large}});
  const auto weights = load_safetensors(dir.path() / "out.safetensors");
  const auto& tensor = weights.at("a");
  ASSERT_TRUE(std::ranges::equal(tensor.bytes, large));
  const std::size_t before = resident_file_bytes();
  weights.release(tensor);
  EXPECT_LT(resident_file_bytes() + (15 << 20), before);
  EXPECT_TRUE(std::ranges::equal(tensor.bytes, large)) << "the bytes come back";
}

TEST_F(SafetensorsTest, RefusesWhatIsNoFile) {
  EXPECT_ERROR(Safetensors::open(dir.path() / "absent"), "absent: cannot be opened: No such file");
  EXPECT_ERROR(Safetensors::open(dir.path()), "is not a regular file");
}
TEST_F(SafetensorsTest, RefusesAnEmptyFile) { EXPECT_ERROR(open(""), "m.safetensors: has 0 bytes"); }
TEST_F(SafetensorsTest, RefusesAHeaderBeyondTheFile) {
  EXPECT_ERROR(open(raw<std::uint64_t>(9) + "{}"), "is truncated");
}
TEST_F(SafetensorsTest, RefusesAnEnormousHeader) {
  EXPECT_ERROR(open(raw<std::uint64_t>(100'000'001) + "{}"), "a header of 100000001 bytes");
  EXPECT_ERROR(open(raw<std::uint64_t>(~0ULL) + "{}"), "a header of 18446744073709551615 bytes");
}
TEST_F(SafetensorsTest, RefusesMalformedJson) { EXPECT_ERROR(open(R"({"a":)", 0), "is not valid JSON (at byte"); }
TEST_F(SafetensorsTest, RefusesNumbersOutOfRange) {
  EXPECT_ERROR(open(R"({"a":1e999})", 0), "a number is out of range");
}
TEST_F(SafetensorsTest, RefusesAHeaderThatIsNoObject) { EXPECT_ERROR(open("[1]", 0), "expected a JSON object"); }
TEST_F(SafetensorsTest, RefusesDeepNesting) {
  EXPECT_ERROR(open(std::string(100'000, '['), 0), "nested deeper than 64");
}
TEST_F(SafetensorsTest, RefusesDuplicateNames) {
  EXPECT_ERROR(open("{" + entry("a", "U8", "[2]", "[0,2]") + "," + entry("a", "U8", "[2]", "[0,2]") + "}", 2),
               "key 'a' appears twice");
}
TEST_F(SafetensorsTest, RefusesDuplicateKeysOfATensor) {
  EXPECT_ERROR(open(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1),
               "'dtype' appears twice");
}
TEST_F(SafetensorsTest, RefusesMetadataThatIsNotStrings) {
  EXPECT_ERROR(open(R"({"__metadata__":{"a":1}})", 0), "__metadata__");
}
TEST_F(SafetensorsTest, KeepsHostileNamesOnOneLine) {
  EXPECT_ERROR(open("{" + entry("a\\nb", "Q9", "[1]", "[0,1]") + "}", 1), "tensor 'a\\x0ab' has unknown dtype 'Q9'");
}

/// One tensor 'a' described wrongly, and what the message says of it.
struct Lie {
  std::string dtype, shape, offsets, expected;
};
class LyingHeader : public SafetensorsTest, public ::testing::WithParamInterface<Lie> {};
TEST_P(LyingHeader, IsRefused) {
  const auto& [dtype, shape, offsets, expected] = GetParam();
  EXPECT_ERROR(open("{" + entry("a", dtype, shape, offsets) + "}", 8), expected);
  EXPECT_ERROR(open("{" + entry("a", dtype, shape, offsets) + "}", 8), "m.safetensors: ");
}
INSTANTIATE_TEST_SUITE_P(
    Safetensors, LyingHeader,
    ::testing::Values(Lie{"F32", "[2]", "[0,4]", "tensor 'a' (F32 [2]) takes 8 bytes, but its data_offsets hold 4"},
                      Lie{"F32", "[2]", "[8,0]", "tensor 'a' has data_offsets [8, 0]"},
                      Lie{"F32", "[2]", "[4,12]", "tensor 'a' ends at byte 12"},
                      Lie{"F32", "[2]", "[0,18446744073709551615]", "tensor 'a' ends at byte 18446744073709551615"},
                      Lie{"F32", "[2]", "[0,18446744073709551616]", "tensor 'a' has no data_offsets"},
                      Lie{"F32", "[2]", "[0]", "tensor 'a' has data_offsets [0]"},
                      Lie{"F32", "[2]", "[-8,0]", "tensor 'a' has no data_offsets"},
                      Lie{"F32", "[2]", "{}", "tensor 'a' has no data_offsets"},
                      Lie{"F32", "[2.0]", "[0,8]", "tensor 'a' has no shape"},
                      Lie{"F32", "[-2]", "[0,8]", "tensor 'a' has no shape"},
                      Lie{"F32", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2]", "[0,8]", "tensor 'a' has no shape"},
                      Lie{"F32", "[4294967296,4294967296]", "[0,8]", "tensor 'a' of shape [4294967296, 4294967296]"},
                      Lie{"F64", "[2305843009213693953]", "[0,8]", "is too large"},
                      Lie{"F33", "[2]", "[0,8]", "unknown dtype 'F33'"},
                      Lie{"F32", "[1]", "[4,8]", "a hole of 4 bytes before tensor 'a'"},
                      Lie{"F32", "[1]", "[0,4]", "4 bytes follow the last tensor"}));

TEST_F(SafetensorsTest, RefusesOverlap) {
  EXPECT_ERROR(open("{" + entry("a", "U8", "[4]", "[0,4]") + "," + entry("b", "U8", "[5]", "[3,8]") + "}", 8),
               "tensor 'b' begins at byte 3 and overlaps");
}
TEST_F(SafetensorsTest, RefusesATensorThatIsNoObject) {
  EXPECT_ERROR(open(R"({"a":7})", 0), "tensor 'a' has no dtype");
}

TEST_F(SafetensorsTest, ReadsShards) {
  const auto weights = open_shards(R"({"weight_map":{"x":"a.safetensors","y":"b.safetensors"}})");
  ASSERT_EQ(weights.tensors().size(), 2U);
  EXPECT_EQ(weights.at("x").shape, gpu::Shape{1});
  EXPECT_EQ(weights.at("y").type, StorageType::f16);
  EXPECT_FALSE(weights.contains("z")) << "the index does not list it";
}
TEST_F(SafetensorsTest, NamesAMissingShard) {
  EXPECT_ERROR(open_shards(R"({"weight_map":{"x":"c.safetensors"}})"), "shard 'c.safetensors' is missing");
}
TEST_F(SafetensorsTest, NamesATensorThatIsNotInItsShard) {
  EXPECT_ERROR(open_shards(R"({"weight_map":{"w":"a.safetensors"}})"),
               "tensor 'w' is not in its shard 'a.safetensors'");
}
TEST_F(SafetensorsTest, RefusesShardsElsewhere) {
  for (const std::string shard : {"../a.safetensors", "/etc/passwd", "sub/a.safetensors", "..", ".", ""})
    EXPECT_ERROR(open_shards(R"({"weight_map":{"x":")" + shard + "\"}}"),
                 "expected the name of a file beside the index");
}
TEST_F(SafetensorsTest, RefusesAnIndexWithoutAMap) {
  EXPECT_ERROR(open_shards("{}"), "has no weight_map");
  EXPECT_ERROR(open_shards(R"({"weight_map":{"x":1}})"), "the shard of tensor 'x' is not a file name");
}

TEST_F(SafetensorsTest, ReadsBackWhatItWrites) {
  save_safetensors(dir.path() / "out.safetensors",
                   std::vector<SafetensorsTensor>{{"z \"quoted\"", "F32", {1}, bytes}, {"a", "U8", {2, 2}, bytes}},
                   {{"k", "v"}});
  const auto file = Safetensors::open(dir.path() / "out.safetensors");
  ASSERT_EQ(file.tensors().size(), 2U);
  EXPECT_EQ(file.tensors()[0].name, "z \"quoted\"");
  EXPECT_EQ(file.values("a"), (std::vector<double>{0, 1, 2, 3}));
  EXPECT_EQ(file.metadata().at("k"), "v");
  EXPECT_EQ((file.tensors()[0].bytes.data() - file.file()->bytes().data()) % 8, 0) << "tensors begin aligned";
}
TEST_F(SafetensorsTest, WritesOverAnOlderFile) {
  write_file(dir.path() / "out.safetensors", "older");
  save({{"a", "U8", {4}, bytes}});
  EXPECT_EQ(Safetensors::open(dir.path() / "out.safetensors").tensors().size(), 1U);
}
TEST_F(SafetensorsTest, RefusesToWriteALie) {
  EXPECT_ERROR(save({{"a", "F32", {2}, bytes}}), "tensor 'a' (F32 [2]) takes 8 bytes, but 4 were given");
  EXPECT_ERROR(save({{"a", "X", {2}, bytes}}), "unknown dtype 'X'");
  EXPECT_ERROR(save({{"a", "U8", {4}, bytes}, {"a", "U8", {4}, bytes}}), "tensor 'a' appears twice");
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}
TEST_F(SafetensorsTest, RefusesToWriteWhereThereIsNoFolder) {
  EXPECT_ERROR(save_safetensors(dir.path() / "no/out.safetensors", {}),
               "no/out.safetensors: cannot be written: No such");
}
TEST_F(SafetensorsTest, LeavesTheOlderFileWhenTheDiskIsFull) {
  write_file(dir.path() / "out.safetensors", "older");
  // A limit on file sizes fails a write as a full disk does.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  std::string message = "(nothing was thrown)";
  try {
    const std::vector<std::byte> large(4096);
    save({{"a", "U8", {large.size()}, large}});
  } catch (const Error& error) {
    message = error.what();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find("out.safetensors: cannot be written: File too large"), std::string::npos) << message;
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1) << "a half file was left";
  EXPECT_EQ(std::filesystem::file_size(dir.path() / "out.safetensors"), 5U);
}

TEST_F(SafetensorsTest, SurvivesDamagedFiles) {
  int opened = 0, refused = 0;
  glassbox::testing::with_damaged_copies(safetensors_file(two, 11), 4000, [&](const std::string& copy) {
    try {
      const auto file = open(copy);
      for (const auto& tensor : file.tensors()) (void)std::vector(tensor.bytes.begin(), tensor.bytes.end());
      ++opened;
    } catch (const Error& error) {
      ++refused;
      EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what();
    }
  });
  EXPECT_GT(opened, 0);
  EXPECT_GT(refused, 2000);
}

TEST(SharedSafetensors, AllOpen) {
  REQUIRE_SHARED("models");
  int files = 0;
  for (const char* folder : {"models", "oracle"})
    for (const auto& found : std::filesystem::recursive_directory_iterator(glassbox::testing::shared_dir() / folder))
      if (found.path().extension() == ".safetensors") {
        EXPECT_FALSE(Safetensors::open(found.path()).tensors().empty()) << found.path();
        ++files;
      }
  EXPECT_GT(files, 20);
}

}  // namespace
}  // namespace glassbox::model
