#include "model/protobuf.h"

#include <bit>

#include "gpu/error.h"

namespace glassbox::model {
namespace {

std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<std::uint8_t>(bytes[i]);
  return value;
}

}  // namespace

std::optional<ProtoField> ProtoReader::next() {
  if (at_ == message_.size()) return std::nullopt;
  const std::size_t start = at_;
  const std::uint64_t key = varint();
  require(key >> 3 >= 1 && key >> 3 < (1u << 29), "{}: not a protobuf message, field {} at byte {}", source_, key >> 3,
          start);
  ProtoField field{.number = static_cast<std::uint32_t>(key >> 3), .wire = static_cast<WireType>(key & 7)};
  switch (field.wire) {
    case WireType::varint:
      field.value = varint();
      break;
    case WireType::fixed64:
      field.value = little_endian(take(8));
      break;
    case WireType::fixed32:
      field.value = little_endian(take(4));
      break;
    case WireType::bytes:
      field.bytes = take(varint());
      break;
    default:
      fail("{}: not a protobuf message, wire type {} at byte {}", source_, key & 7, start);
  }
  return field;
}

std::uint64_t ProtoReader::varint() {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = static_cast<std::uint8_t>(take(1)[0]);
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  fail("{}: not a protobuf message, a varint of more than 10 bytes before byte {}", source_, at_);
}

std::string_view ProtoReader::take(std::uint64_t count) {
  const std::size_t left = message_.size() - at_;
  require(count <= left, "{}: truncated protobuf message, expected {} bytes at byte {}, found {}", source_, count, at_,
          left);
  const std::string_view taken = message_.substr(at_, count);
  at_ += count;
  return taken;
}

void ProtoWriter::append_varint(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) message_ += static_cast<char>((value & 0x7F) | 0x80);
  message_ += static_cast<char>(value);
}

void ProtoWriter::append_key(std::uint32_t number, WireType wire) {
  append_varint(static_cast<std::uint64_t>(number) << 3 | static_cast<std::uint64_t>(wire));
}

void ProtoWriter::varint(std::uint32_t number, std::uint64_t value) {
  append_key(number, WireType::varint);
  append_varint(value);
}

void ProtoWriter::float32(std::uint32_t number, float value) {
  append_key(number, WireType::fixed32);
  const auto bits = std::bit_cast<std::uint32_t>(value);
  for (int shift = 0; shift < 32; shift += 8) message_ += static_cast<char>(bits >> shift & 0xFF);
}

void ProtoWriter::bytes(std::uint32_t number, std::string_view value) {
  append_key(number, WireType::bytes);
  append_varint(value.size());
  message_ += value;
}

}  // namespace glassbox::model
