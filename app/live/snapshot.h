#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gpu/differ.h"
#include "gpu/profile.h"
#include "gpu/roofline.h"
#include "model/chat_session.h"

// What the engine's thread shows of itself. Snapshots are immutable and share their parts: publishing one for each
// token copies pointers, and a window can hold on to one as long as it likes.
namespace glassbox::app::live {

/// The output of one kernel as computed and as the float64 reference has it, for looking at.
struct KernelValues {
  gpu::Shape shape;
  std::vector<float> computed, reference;  ///< row-major; empty where the output is too large to keep
};

/// One step of the model held against float64, kernel by kernel, in the order of the plan.
struct TokenCheck {
  std::vector<gpu::KernelError> kernels;
  std::vector<KernelValues> values;            ///< beside `kernels`
  std::optional<std::size_t> first_divergent;  ///< into kernels: the first out of tolerance
  bool whole_model =
      false;  ///< KernelError::accumulated, `logits` and `kl` are filled in: float64 from the first token
  gpu::ErrorStats logits;
  double kl = 0;       ///< KL(float64 || GPU) of the next token's distribution, nats
  double seconds = 0;  ///< that the check took
  double worst_nmse() const;
};

/// A token of an answer with what was seen of the step whose logits it was drawn from (of the prompt's last chunk for
/// the first token).
struct TokenRecord {
  std::uint32_t id = 0;
  std::string text;                             ///< what it adds to the answer; may be empty
  std::size_t begin = 0;                        ///< byte of the answer's content where that text stands
  std::vector<model::Candidate> candidates;     ///< likeliest first; empty where not recorded
  std::vector<std::string> candidate_texts;     ///< beside `candidates`: the text of each alone; may be empty
  std::optional<double> probability;            ///< of this token before the sampler chain
  double seconds = 0;                           ///< wall time of its step; 0 where not recorded
  std::shared_ptr<const gpu::ProfiledRun> run;  ///< null where its dispatches were not timed
  std::shared_ptr<const TokenCheck> check;      ///< null where it was not compared
};

struct Message {
  std::int64_t id = 0;
  std::string role, content;
  model::MessageState state = model::MessageState::complete;
  std::int64_t created = 0;                                ///< milliseconds since 1970 UTC
  std::vector<std::int64_t> siblings;                      ///< ids of its branches, itself among them, oldest first
  std::size_t sibling = 0;                                 ///< which of them it is
  std::vector<std::shared_ptr<const TokenRecord>> tokens;  ///< of an answer
  double first_token_seconds = 0, tokens_per_second = 0;   ///< 0 where unknown
  std::size_t prompt_tokens = 0;                           ///< read for this answer
  std::string stop_reason;                                 ///< as model::name_of(StopReason); empty where unknown
};

struct Thread {
  std::optional<std::int64_t> conversation;  ///< none before the first message is sent
  std::string title, system_prompt;
  std::vector<std::shared_ptr<const Message>> messages;
  std::size_t context_used = 0, context_size = 0;  ///< tokens
  std::size_t forgotten = 0;                       ///< oldest messages that no longer fit the context
};

/// Long work under way.
struct Work {
  std::string what;  ///< "loading weights", "compiling kernels", "reading the prompt", "comparing with float64", ...
  std::size_t done = 0, total = 0;
};

enum class Activity : std::uint8_t { idle, loading, reading /* the prompt */, answering, checking, measuring };

/// Something to tell a person once.
struct Notice {
  std::uint64_t number = 0;  ///< grows by one with each notice; 0: there was none
  std::string text;
  bool error = false;
};

struct TensorInfo {
  std::string name, dtype;
  gpu::Shape shape;
  std::size_t bytes = 0;
};

struct ModelCard {
  std::string name, path;
  model::ModelConfig config;
  std::vector<TensorInfo> tensors;
  std::size_t file_bytes = 0, weight_bytes = 0 /* on the device */, cache_bytes = 0, context = 0;
  std::vector<std::string> pieces;  ///< text of each token; control tokens by their names
  std::string tokenizer;            ///< kind and size of the vocabulary; "" where there is none
  std::string chat_template;        ///< Jinja; "" where plain
  double load_seconds = 0;
  gpu::Fusion fusion = gpu::Fusion::on;
  gpu::Activations activations = gpu::Activations::f32;
};

/// Largest error of a function as this driver computes it, in ulp of float32, over its usual range.
struct FunctionError {
  std::string function, range;
  double max_ulp = 0;
};

struct DeviceCard {
  std::string vendor, renderer, version, pretended, measured_by;
  gpu::Limits limits;
  gpu::Features features;
  gpu::LoadPath load_path = gpu::LoadPath::ssbo;
  std::array<double, 3> load_path_speed{};  ///< GB/s, in LoadPath's order; 0 where not measured
  gpu::TimerSource timer = gpu::TimerSource::cpu_clock;
  std::string timer_verdict;
  std::vector<FunctionError> functions;  ///< empty until measured
  std::string cache_directory;
};

/// What is recorded of each token.
struct Watching {
  bool time_kernels = true;
  std::size_t check_every = 0;  ///< compare every Nth token with float64; 0: none, 1: every one
};

struct Snapshot {
  std::uint64_t revision = 0;
  Activity activity = Activity::idle;
  std::optional<Work> work;
  bool stopping = false;  ///< a stop was asked for and has not taken effect yet
  Notice notice;

  std::shared_ptr<const ModelCard> model;    ///< null while none is open
  std::shared_ptr<const DeviceCard> device;  ///< null before the first model
  std::optional<gpu::Roofline> roofline;     ///< none until measured

  std::shared_ptr<const Thread> thread = std::make_shared<Thread>();
  std::shared_ptr<const std::vector<model::Conversation>> history =
      std::make_shared<std::vector<model::Conversation>>();
  std::string search;                       ///< that `history` answers
  std::optional<std::int64_t> undo_remove;  ///< the conversation removed last, while it can come back

  /// Timed runs of this process, oldest first, the most recent few thousand.
  std::shared_ptr<const std::vector<std::shared_ptr<const gpu::ProfiledRun>>> runs =
      std::make_shared<std::vector<std::shared_ptr<const gpu::ProfiledRun>>>();

  model::ChatSettings settings;
  Watching watching;

  bool busy() const { return activity != Activity::idle; }
};

}  // namespace glassbox::app::live
