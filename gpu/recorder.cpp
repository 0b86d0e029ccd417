#include "gpu/recorder.h"

#include <unordered_set>

#include "gpu/device.h"
#include "gpu/error.h"
#include "gpu/ops/copy.h"

namespace glassbox::gpu {

Recorder::Recorder(Plan& plan) : plan_(plan), encoder_(*plan.device_, *plan.arena_) {}

void Recorder::collect(std::span<const Array> outputs) {
  // Depth first without recursion: a model's graph is thousands of operations deep.
  std::unordered_set<const Operation*> seen;
  struct Frame {
    std::shared_ptr<Operation> operation;
    std::size_t next = 0;
  };
  std::vector<Frame> stack;
  const auto enter = [&](const Array& array) {
    const auto& operation = array.data()->operation;
    if (operation && seen.insert(operation.get()).second) stack.push_back({operation});
  };
  for (const auto& output : outputs) {
    enter(output);
    while (!stack.empty()) {
      auto& frame = stack.back();
      if (frame.next < frame.operation->inputs.size()) {
        enter(frame.operation->inputs[frame.next++]);
      } else {
        order_.push_back(std::move(frame.operation));
        stack.pop_back();
      }
    }
  }
  for (const auto& operation : order_)
    for (const auto& input : operation->inputs) ++uses_[input.data().get()].in_graph;
  for (const auto& operation : order_)
    for (const auto& weak : operation->outputs)
      if (const auto data = weak.lock()) {
        auto& use = uses_[data.get()];
        use.external = data.use_count() - 1 > use.in_graph;  // less the one just locked
      }
}

void Recorder::record(std::span<const Array> outputs) {
  collect(outputs);
  for (const auto& operation : order_) record(*operation);
  plan_.dispatches_ = std::move(encoder_.dispatches_);
  plan_.params_ = std::move(encoder_.params_);
  plan_.patches_ = std::move(encoder_.patches_);
  plan_.copies_ += encoder_.copies_;
}

void Recorder::record(Operation& operation) {
  Step step{.primitive = operation.primitive, .inputs = operation.inputs, .layer = operation.layer};
  std::vector<std::shared_ptr<Storage>> scratch;
  for (auto& input : step.inputs) {
    if (input.contiguous() || operation.primitive->accepts_strided()) continue;
    const Array dense = copy(input);
    uses_[dense.data().get()].external = true;  // until this operation has read it
    dense.data()->operation->layer = operation.layer;
    record(*std::shared_ptr(dense.data()->operation));
    scratch.push_back(dense.data()->storage);
    input = dense;
    ++plan_.copies_;
  }
  for (std::size_t i = 0; i < operation.specs.size(); ++i) {
    const auto& spec = operation.specs[i];
    auto data = operation.outputs[i].lock();
    const bool kept = data != nullptr;
    const auto source = operation.primitive->in_place(i);
    if (source)
      require(operation.inputs[*source].contiguous() && operation.inputs[*source].offset() == 0,
              "[{}] writes input {} in place: it cannot be a view", operation.primitive->name(), *source);
    Array out =
        source ? step.inputs[*source].reshape(spec.shape) : Array::empty(spec.shape, spec.dtype, plan_.arena_.get());
    const auto storage = out.data()->storage;
    if (kept) {
      const auto& use = uses_[data.get()];
      const auto [held, fresh] = storages_.try_emplace(storage.get());
      held->second.remaining += use.in_graph;
      // Storage first met as the target of a write in place was there before the plan: it is not the plan's to recycle.
      held->second.external = held->second.external || use.external || (source && fresh);
      data->storage = storage;
    } else {
      scratch.push_back(source ? nullptr : storage);
    }
    step.outputs.push_back(std::move(out));
  }
  step.first = encoder_.dispatches_.size();
  operation.primitive->eval_gpu(encoder_, step.inputs, step.outputs);
  step.count = encoder_.dispatches_.size() - step.first;
  for (const auto& temporary : encoder_.temporaries_) temporary.data()->storage->recycle();
  encoder_.temporaries_.clear();
  for (const auto& storage : scratch)
    if (storage) storage->recycle();
  for (const auto& input : operation.inputs) drop_use(input.data()->storage);
  for (const auto& weak : operation.outputs)
    if (const auto data = weak.lock()) data->operation = nullptr;
  plan_.steps_.push_back(std::move(step));
}

void Recorder::drop_use(const std::shared_ptr<Storage>& storage) {
  const auto found = storages_.find(storage.get());
  if (found == storages_.end() || found->second.external) return;
  if (--found->second.remaining <= 0) storage->recycle();
}

}  // namespace glassbox::gpu
