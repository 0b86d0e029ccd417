#pragma once

#include <string>
#include <unordered_map>

#include "gpu/plan.h"

namespace glassbox::gpu {

/// Turns a graph into a plan: order, storage, contiguity, and which storage the next array may take over.
class Recorder {
 public:
  explicit Recorder(Plan& plan);
  void record(std::span<const Array> outputs);

 private:
  void collect(std::span<const Array> outputs);
  void record(const Operation& operation);
  Array dense_copy(const Array& input, int layer);
  Array lay_output(const Operation& operation, std::size_t i);
  void drop_use(const std::shared_ptr<Storage>& storage);

  Plan& plan_;
  CommandEncoder encoder_;
  std::vector<std::shared_ptr<Operation>> order_;  ///< inputs before their users
  struct DataUse {
    long in_graph = 0;      ///< Arrays inside operations
    bool external = false;  ///< somebody outside the graph holds one too
  };
  std::unordered_map<const ArrayData*, DataUse> uses_;
  struct StorageUse {
    long remaining = 0;
    bool external = false;
  };
  std::unordered_map<const Storage*, StorageUse> storages_;        ///< of arrays this plan makes
  std::unordered_map<const ArrayData*, std::string> overwritten_;  ///< by which primitive, in place
};

}  // namespace glassbox::gpu
