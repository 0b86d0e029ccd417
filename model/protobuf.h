#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace glassbox::model {

/// Wire types of protobuf's encoding (protobuf.dev, "Encoding"); groups, which are obsolete, are refused.
enum class WireType : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

struct ProtoField {
  std::uint32_t number = 0;
  WireType wire = WireType::varint;
  std::uint64_t value = 0;  ///< of varint and fixed fields
  std::string_view bytes;   ///< of length-delimited fields; points into the message
};

/// Walks the fields of one message in the order they are stored.
class ProtoReader {
 public:
  /// `source` names the file in errors; both must outlive the reader.
  ProtoReader(std::string_view message, std::string_view source) : message_(message), source_(source) {}

  /// The next field, nothing at the end. Throws Error where the bytes are no protobuf message.
  std::optional<ProtoField> next();

 private:
  std::uint64_t varint();
  std::string_view take(std::uint64_t count);

  std::string_view message_, source_;
  std::size_t at_ = 0;
};

/// Builds one message.
class ProtoWriter {
 public:
  void varint(std::uint32_t number, std::uint64_t value);
  void float32(std::uint32_t number, float value);
  void bytes(std::uint32_t number, std::string_view value);
  const std::string& message() const { return message_; }

 private:
  void append_varint(std::uint64_t value);
  void append_key(std::uint32_t number, WireType wire);

  std::string message_;
};

}  // namespace glassbox::model
