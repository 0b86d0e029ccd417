#include "model/generate.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "gpu/error.h"
#include "model/utf8.h"

namespace glassbox::model {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

std::string_view name_of(StopReason reason) {
  switch (reason) {
    case StopReason::end:
      return "end";
    case StopReason::stop_string:
      return "stop";
    case StopReason::length:
      return "length";
    case StopReason::context:
      return "context";
    case StopReason::cancelled:
      return "cancelled";
  }
  return "";
}

std::string StopFilter::push(std::string_view text) {
  if (stopped_) return "";
  held_ += text;
  std::size_t first = std::string::npos, end = std::string::npos;
  for (const auto& stop : stops_)
    if (const auto at = held_.find(stop);
        at != std::string::npos && std::pair(at + stop.size(), at) < std::pair(end, first))
      first = at, end = at + stop.size();
  if (first != std::string::npos) {
    stopped_ = true;
    return std::exchange(held_, {}).substr(0, first);
  }
  std::size_t keep = 0;  // longest end of the text that a stop string begins with
  for (const auto& stop : stops_)
    for (std::size_t length = std::min(stop.size() - 1, held_.size()); length > keep; --length)
      if (std::string_view(held_).substr(held_.size() - length) == std::string_view(stop).substr(0, length))
        keep = length;
  auto free = held_.substr(0, held_.size() - keep);
  held_.erase(0, free.size());
  return free;
}

std::string StopFilter::finish() { return stopped_ ? "" : std::exchange(held_, {}); }

Generation generate(Engine& engine, const GenerateRequest& request,
                    const std::function<void(const GeneratedToken&)>& seen, const std::stop_token& stop,
                    const Progress& progress) {
  for (const auto& text : request.stop_strings) {
    require(!text.empty(), "a stop string is empty");
    require(!find_invalid_utf8(text), "a stop string is not valid UTF-8");
  }
  require(!request.prompt.empty(), "the prompt is empty");
  require(request.begun <= request.prompt.size(), "{} tokens begun of a prompt of {}", request.begun,
          request.prompt.size());
  require(request.prompt.size() < engine.context(),
          "the prompt has {} tokens, the context of {} leaves no room for an answer", request.prompt.size(),
          engine.context());
  const auto& tokenizer = engine.tokenizer();
  Sampler sampler(request.sampling, request.seed);
  StreamingDecoder decoder(tokenizer, true);
  for (const auto id : std::span(request.prompt).last(request.begun)) decoder.push(id);
  StopFilter filter(request.stop_strings);
  Generation result;

  const auto started = Clock::now();
  result.prompt_tokens =
      request.prompt.size() - std::min(engine.common_prefix(request.prompt), request.prompt.size() - 1);
  const bool read = engine.append_from_common_prefix(request.prompt, stop, progress);
  engine.device().finish();
  result.prefill_seconds = seconds_since(started);
  if (!read) {
    result.reason = StopReason::cancelled;
    return result;
  }
  auto decoding = Clock::now();
  Choice choice;
  std::vector<float> logits;
  const auto draw = [&, needed = request.sampling.largest_needed()] {
    if (const auto* top = engine.candidates(needed))
      return sampler.sample(*top, engine.config().vocab_size, engine.tokens());
    engine.read_logits(logits);
    // Ids that pad the vocabulary have no piece: they are never drawn.
    std::fill(logits.begin() + static_cast<std::ptrdiff_t>(tokenizer.vocab_size()), logits.end(),
              -std::numeric_limits<float>::infinity());
    return sampler.sample(logits, engine.tokens());
  };
  while (true) {
    choice = draw();
    if (!request.ignore_end && engine.ends_answer(choice.token)) {
      result.reason = StopReason::end;
      break;
    }
    if (result.tokens.empty()) {
      result.first_token_seconds = seconds_since(started);
      decoding = Clock::now();
    }
    result.tokens.push_back(choice.token);
    const auto text = filter.push(decoder.push(choice.token));
    result.text += text;
    if (seen) seen({choice.token, text, choice});
    result.decode_seconds = seconds_since(decoding);
    if (filter.stopped())
      result.reason = StopReason::stop_string;
    else if (stop.stop_requested())
      result.reason = StopReason::cancelled;
    else if (request.max_tokens && result.tokens.size() >= request.max_tokens)
      result.reason = StopReason::length;
    else if (engine.tokens().size() == engine.context())
      result.reason = StopReason::context;
    else if (engine.append(std::span(&choice.token, 1), stop))
      continue;
    else
      result.reason = StopReason::cancelled;
    break;
  }
  auto rest = filter.push(decoder.finish());
  rest += filter.finish();
  if (!rest.empty()) {
    result.text += rest;
    if (seen) seen({result.tokens.empty() ? choice.token : result.tokens.back(), rest, choice, true});
  }
  return result;
}

}  // namespace glassbox::model
