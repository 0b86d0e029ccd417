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
  // Backwards, because what is written in place is held by whoever holds the result.
  for (auto operation = order_.rbegin(); operation != order_.rend(); ++operation)
    for (std::size_t i = 0; i < (*operation)->outputs.size(); ++i) {
      const auto data = (*operation)->outputs[i].lock();
      if (!data) continue;
      auto& use = uses_[data.get()];
      use.external = use.external || data.use_count() - 1 > use.in_graph;  // less the one just locked
      const auto source = (*operation)->primitive->in_place(i);
      if (source && use.external) uses_[(*operation)->inputs.at(*source).data().get()].external = true;
    }
}

void Recorder::record(std::span<const Array> outputs) {
  collect(outputs);
  try {
    for (const auto& operation : order_) record(*operation);
  } catch (...) {
    for (const auto& operation : order_)
      for (const auto& weak : operation->outputs)
        if (const auto data = weak.lock()) {
          data->storage = nullptr;
          data->operation = operation;
        }
    throw;
  }
  plan_.dispatches_ = std::move(encoder_.dispatches_);
  plan_.params_ = std::move(encoder_.params_);
  plan_.patches_ = std::move(encoder_.patches_);
  plan_.buffers_ = std::move(encoder_.buffers_);
  plan_.copies_ += encoder_.copies_;
}

Array Recorder::dense_copy(const Array& input, int layer) {
  const Array dense = copy(input);
  dense.data()->operation->layer = layer;
  uses_[dense.data().get()] = {.in_graph = 1};
  if (const auto found = storages_.find(input.data()->storage.get()); found != storages_.end())
    ++found->second.remaining;  // the copy reads it too
  record(*std::shared_ptr(dense.data()->operation));
  ++plan_.copies_;
  return dense;
}

Array Recorder::lay_output(const Operation& operation, std::size_t i) {
  const auto& spec = operation.specs[i];
  const auto data = operation.outputs[i].lock();
  const DataUse use = data ? uses_[data.get()] : DataUse{};  // an output that nobody holds is scratch
  const auto source = operation.primitive->in_place(i);
  Array out;
  if (source) {
    const Array& target = operation.inputs.at(*source);
    require(target.contiguous() && target.offset() == 0, "[{}] writes input {} in place: it cannot be a view",
            operation.primitive->name(), *source);
    overwritten_.emplace(target.data().get(), operation.primitive->name());
    out = target.reshape(spec.shape);
  } else {
    const auto bytes = element_count(spec.shape) * size_of(spec.dtype);
    out = Array::on(plan_.arena_->allocate(bytes, use.external ? Arena::Use::array : Arena::Use::scratch), spec.shape,
                    spec.dtype);
  }
  const auto& storage = out.data()->storage;
  const auto [held, fresh] = storages_.try_emplace(storage.get());
  held->second.remaining += use.in_graph + 1;  // readers, and this operation
  // Storage first met as the target of a write in place was there before the plan: it is not the plan's to recycle.
  held->second.external = held->second.external || use.external || (source && fresh);
  if (data) data->storage = storage;
  return out;
}

void Recorder::record(const Operation& operation) {
  Step step{.primitive = operation.primitive, .inputs = operation.inputs, .layer = operation.layer};
  std::vector<Array> dense;
  for (auto& input : step.inputs) {
    if (const auto found = overwritten_.find(input.data().get()); found != overwritten_.end())
      fail("[{}] reads an array that {} wrote over: it must read the result of that", operation.primitive->name(),
           found->second);
    if (!input.contiguous() && !operation.primitive->accepts_strided())
      input = dense.emplace_back(dense_copy(input, operation.layer));
  }
  bool empty = true;
  for (std::size_t i = 0; i < operation.specs.size(); ++i) {
    step.outputs.push_back(lay_output(operation, i));
    empty = empty && step.outputs.back().size() == 0;
  }
  step.first = encoder_.dispatches_.size();
  if (!empty) operation.primitive->eval_gpu(encoder_, step.inputs, step.outputs);
  step.count = encoder_.dispatches_.size() - step.first;
  for (const auto& temporary : encoder_.temporaries_) temporary.data()->storage->recycle();
  encoder_.temporaries_.clear();
  for (const Inputs arrays : {Inputs(step.outputs), Inputs(operation.inputs), Inputs(dense)})
    for (const auto& array : arrays) drop_use(array.data()->storage);
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
