#include <algorithm>
#include <limits>
#include <map>

#include "gpu/error.h"
#include "model/conversation.h"
#include "model/conversation_rows.h"

namespace glassbox::model {
namespace {

using nlohmann::json;

constexpr const char* format_name = "glassbox-conversation";
constexpr int format_version = 1;
constexpr int deepest = 64;  // levels of nesting; json's dump() is recursive

json optional_json(std::optional<std::int64_t> value) { return value ? json(*value) : json(nullptr); }

json to_json(const StoredMessage& message) {
  // What still streams elsewhere is a stopped answer in a file.
  const auto state = message.state == MessageState::streaming ? MessageState::stopped : message.state;
  return {{"id", message.id},           {"parent", optional_json(message.parent)},
          {"role", message.role},       {"content", message.content},
          {"created", message.created}, {"state", name_of(state)},
          {"tokens", message.tokens},   {"sampling", message.sampling},
          {"stats", message.stats}};
}

/// Reads the fields of one object; errors name it as `where`.
class ImportFields {
 public:
  ImportFields(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    require(object.is_object(), "{}: expected an object, found {}", where_, object.type_name());
  }

  const json& at(const char* name, bool (*right)(const json&), const char* expected) const {
    const auto found = object_.find(name);
    require(found != object_.end(), "{}: \"{}\" is missing", where_, name);
    require(right(*found), "{}: \"{}\" must be {}, found {}", where_, name, expected, dump(*found).substr(0, 40));
    return *found;
  }
  std::string text(const char* name) const {
    return at(
        name, [](const json& v) { return v.is_string(); }, "a string");
  }
  std::int64_t integer(const char* name) const { return at(name, is_integer, "an integer"); }
  std::optional<std::int64_t> optional_integer(const char* name) const {
    const auto& value = at(
        name, [](const json& v) { return v.is_null() || is_integer(v); }, "an integer or null");
    return value.is_null() ? std::nullopt : std::optional(value.get<std::int64_t>());
  }
  const json& object(const char* name) const {
    return at(
        name, [](const json& v) { return v.is_object(); }, "an object");
  }
  const json& array(const char* name) const {
    return at(
        name, [](const json& v) { return v.is_array(); }, "an array");
  }
  std::vector<std::uint32_t> tokens(const char* name) const {
    return at(
        name,
        [](const json& v) {
          return v.is_array() && std::ranges::all_of(v, [](const json& token) {
                   return token.is_number_unsigned() &&
                          token.get<std::uint64_t>() <= std::numeric_limits<std::uint32_t>::max();
                 });
        },
        "an array of token ids");
  }
  const std::string& where() const { return where_; }

 private:
  static bool is_integer(const json& value) {
    constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    return value.is_number_integer() && !(value.is_number_unsigned() && value.get<std::uint64_t>() > largest);
  }

  const json& object_;
  std::string where_;
};

json parse(std::string_view text) {
  try {
    return json::parse(text, [](int depth, json::parse_event_t, json&) {
      require(depth <= deepest, "conversation import: nested deeper than {} levels", deepest);
      return true;
    });
  } catch (const json::exception& error) {
    fail("conversation import: not JSON: {}", error.what());
  }
}

/// The message with the file's own ids still in id and parent.
StoredMessage message_from(const ImportFields& fields) {
  const auto state = message_state(fields.text("state"));
  require(state == MessageState::complete || state == MessageState::stopped,
          "{}: \"state\" must be \"complete\" or \"stopped\", found {}", fields.where(),
          dump(fields.text("state")).substr(0, 40));
  return {.id = fields.integer("id"),
          .parent = fields.optional_integer("parent"),
          .role = fields.text("role"),
          .content = fields.text("content"),
          .created = fields.integer("created"),
          .state = *state,
          .tokens = fields.tokens("tokens"),
          .sampling = fields.object("sampling"),
          .stats = fields.object("stats")};
}

}  // namespace

std::string ConversationStore::export_json(std::int64_t conversation) const {
  const auto c = this->conversation(conversation);
  const auto messages =
      read_messages(*database_, "SELECT * FROM messages WHERE conversation = ? ORDER BY id", conversation);
  json file = {{"format", format_name}, {"version", format_version},        {"title", c.title},
               {"model", c.model},      {"system_prompt", c.system_prompt}, {"created", c.created},
               {"updated", c.updated},  {"leaf", optional_json(c.leaf)},    {"messages", json::array()}};
  for (const auto& message : messages) file["messages"].push_back(to_json(message));
  return dump(file, 2);
}

std::int64_t ConversationStore::import_json(std::string_view text) {
  const auto file = parse(text);
  const ImportFields fields(file, "conversation import");
  require(fields.text("format") == format_name, "conversation import: \"format\" must be \"{}\", found {}", format_name,
          dump(fields.text("format")).substr(0, 40));
  require(fields.integer("version") == format_version, "conversation import: \"version\" must be {}, found {}",
          format_version, fields.integer("version"));

  sqlite::Transaction transaction(*database_, sqlite::Transaction::Kind::write);
  const auto conversation = insert_conversation(*database_, {.title = fields.text("title"),
                                                             .model = fields.text("model"),
                                                             .system_prompt = fields.text("system_prompt"),
                                                             .created = fields.integer("created"),
                                                             .updated = fields.integer("updated")});
  std::map<std::int64_t, std::int64_t> ids;  // of the file -> of the store
  const auto stored_id = [&](const ImportFields& in, const char* name) -> std::optional<std::int64_t> {
    const auto id = in.optional_integer(name);
    if (!id) return std::nullopt;
    const auto found = ids.find(*id);
    require(found != ids.end(), "{}: \"{}\" is {}, which is no message before it", in.where(), name, *id);
    return found->second;
  };
  for (const auto& entry : fields.array("messages")) {
    const ImportFields in(entry, fmt::format("conversation import: messages[{}]", ids.size()));
    auto message = message_from(in);
    message.conversation = conversation;
    message.parent = stored_id(in, "parent");
    require(!ids.contains(message.id), "{}: \"id\" {} occurs twice", in.where(), message.id);
    ids[message.id] = insert_message(*database_, message);
  }
  sqlite::run(*database_, "UPDATE conversations SET leaf = ? WHERE id = ?", stored_id(fields, "leaf"), conversation);
  transaction.commit();
  return conversation;
}

}  // namespace glassbox::model
