#include "gpu/lanes.h"

#include <EGL/egl.h>
#include <GLES3/gl32.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "gpu/error.h"
#include "gpu/gl_errors.h"
#include "gpu/shared_memory.h"
#include "gpu/timer.h"

namespace glassbox::gpu {
namespace {

/// A hint to the processor that this is a loop that waits.
void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Waits for another value: between two runs of a token it comes within microseconds, later it is worth a sleep.
void wait_for_change(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  constexpr std::uint64_t spin_ns = 200'000;
  const auto until = cpu_nanoseconds() + spin_ns;
  do {
    for (int i = 0; i < 32; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      pause_briefly();
    }
  } while (cpu_nanoseconds() < until);
  value.wait(old, std::memory_order_acquire);
}

/// One for every two cores, at least: fewer would compute slower than the driver's worker threads.
unsigned wanted_lanes(std::size_t displays) {
  const unsigned cores = std::max(std::thread::hardware_concurrency(), 1u);
  const auto most = static_cast<unsigned>(displays);
  const char* environment = std::getenv("GLASSBOX_LANES");
  if (!environment || !*environment) return 2 * most >= cores ? std::min(most, cores) : 1;
  const std::string_view text(environment);
  unsigned wanted = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), wanted);
  require(error == std::errc() && end == text.data() + text.size() && wanted > 0,
          "GLASSBOX_LANES={} is no number of lanes, expected 1 or more", text);
  return std::min(wanted, most);
}

bool has_shared_memory() {
  const auto* renderer = reinterpret_cast<const char*>(glGetString(GL_RENDERER));
  if (!renderer || !std::string_view(renderer).starts_with("llvmpipe")) return false;
  GLint count = 0;
  glGetIntegerv(GL_NUM_EXTENSIONS, &count);
  for (GLint i = 0; i < count; ++i)
    if (reinterpret_cast<const char*>(glGetStringi(GL_EXTENSIONS, static_cast<GLuint>(i))) ==
        std::string_view("GL_EXT_memory_object_fd"))
      return true;
  return false;
}

}  // namespace

std::unique_ptr<Lanes> Lanes::open(const EglCandidate& candidate, bool debug) {
  if (!candidate.software || std::getenv("LP_NUM_THREADS")) return nullptr;
  std::vector<EglCandidate> displays{candidate};
  for (const auto& other : egl_candidates())
    if (other.software && other.device != candidate.device) displays.push_back(other);
  const unsigned count = wanted_lanes(displays.size());
  if (count < 2) return nullptr;
  displays.resize(count);

  // A display opened here for nothing is closed again: its driver has no worker threads.
  std::vector<EglCandidate> fresh;
  bool usable = true;
  for (const auto& display : displays) {
    const auto opened = open_without_threads(display);
    usable = usable && opened != ThreadlessDisplay::refused;
    if (opened == ThreadlessDisplay::opened) fresh.push_back(display);
  }
  if (usable) {
    std::unique_ptr<Lanes> lanes(new Lanes(count));
    try {
      lanes->context_ = std::make_shared<EglContext>(candidate, debug);
      if (has_shared_memory()) {
        for (unsigned lane = 1; lane < count; ++lane) lanes->start(lane, displays[lane], debug);
        if (lanes->share_memory()) return lanes;
      }
    } catch (const Error&) {  // then without
    }
  }
  for (const auto& display : fresh) close_display(display);
  return nullptr;
}

Lanes::~Lanes() {
  for (auto& lane : lanes_)
    if (lane.thread.joinable()) {
      ask(lane, {});
      lane.thread.join();
    }
}

void Lanes::start(unsigned index, const EglCandidate& candidate, bool debug) {
  lanes_[index].asked.store(1, std::memory_order_relaxed);
  lanes_[index].thread = std::thread([this, index, candidate, debug] {
    auto& lane = lanes_[index];
    std::unique_ptr<EglContext> context;
    try {
      context = std::make_unique<EglContext>(candidate, debug);
      GLint minor = 0;
      glGetIntegerv(GL_MINOR_VERSION, &minor);
      if (debug) listen_for_gl_errors(minor >= 2);
    } catch (...) {
      lane.thrown = std::current_exception();
    }
    lane.answered.store(1, std::memory_order_release);
    lane.answered.notify_one();
    if (context) serve(index);
    context.reset();
    eglReleaseThread();
  });
  auto& lane = lanes_[index];
  wait_for_change(lane.answered, 0);
  if (lane.thrown) std::rethrow_exception(std::exchange(lane.thrown, nullptr));
}

void Lanes::serve(unsigned index) {
  auto& lane = lanes_[index];
  for (std::uint32_t turn = 1;; ++turn) {
    wait_for_change(lane.asked, turn);
    const Task task = task_;
    if (!task.call) return;
    try {
      task.call(task.body, index);
    } catch (...) {
      lane.thrown = std::current_exception();
    }
    if (auto error = take_gl_error(); !error.empty() && lane.error.empty()) lane.error = std::move(error);
    lane.answered.store(turn + 1, std::memory_order_release);
    lane.answered.notify_one();
  }
}

void Lanes::ask(Lane& lane, Task task) {
  task_ = task;
  lane.asked.fetch_add(1, std::memory_order_release);
  lane.asked.notify_one();
}

void Lanes::run(Task task) {
  for (auto& lane : lanes_) {
    lane.met.store(0, std::memory_order_relaxed);
    lane.followed = 0;
  }
  led_.store(0, std::memory_order_relaxed);
  for (unsigned i = 1; i < count(); ++i) ask(lanes_[i], task);
  try {
    task.call(task.body, 0);
  } catch (...) {
    lanes_[0].thrown = std::current_exception();
  }
  std::exception_ptr thrown;
  for (unsigned i = 0; i < count(); ++i) {
    auto& lane = lanes_[i];
    const auto turn = lane.asked.load(std::memory_order_relaxed);
    if (i > 0 && lane.answered.load(std::memory_order_acquire) != turn) wait_for_change(lane.answered, turn - 1);
    const auto its = std::exchange(lane.thrown, nullptr);
    if (!thrown) thrown = its;
  }
  if (thrown) std::rethrow_exception(thrown);
}

void Lanes::meet(unsigned lane) {
  // Others may want the core that the last lane waits for.
  constexpr int spins = 300;
  const auto mine = lanes_[lane].met.load(std::memory_order_relaxed) + 1;
  lanes_[lane].met.store(mine, std::memory_order_release);
  for (const auto& other : lanes_)
    for (int i = 0; static_cast<std::int32_t>(other.met.load(std::memory_order_acquire) - mine) < 0; ++i)
      i < spins ? pause_briefly() : static_cast<void>(sched_yield());
}

void Lanes::follow(unsigned lane) {
  if (lane == 0) {
    led_.fetch_add(1, std::memory_order_release);
    led_.notify_all();
    return;
  }
  const auto mine = ++lanes_[lane].followed;
  for (auto led = led_.load(std::memory_order_acquire); static_cast<std::int32_t>(led - mine) < 0;
       led = led_.load(std::memory_order_acquire))
    led_.wait(led, std::memory_order_acquire);
}

std::string Lanes::take_error() {
  for (auto& lane : lanes_)
    if (!lane.error.empty()) return std::exchange(lane.error, {});
  return {};
}

/// Whether what one lane writes is there for the CPU and for the other lanes, without any call between.
bool Lanes::share_memory() {
  const SharedMemory memory(sizeof(std::uint32_t) * count());
  together([&](unsigned lane) {
    const auto names = memory.import();
    GLuint source = 0;
    glGenBuffers(1, &source);
    glBindBuffer(GL_COPY_READ_BUFFER, source);
    const std::uint32_t word = 0x600d0000u + lane;
    glBufferData(GL_COPY_READ_BUFFER, sizeof word, &word, GL_STATIC_DRAW);
    glCopyBufferSubData(GL_COPY_READ_BUFFER, GL_SHADER_STORAGE_BUFFER, 0, static_cast<GLintptr>(lane * sizeof word),
                        sizeof word);
    glFinish();
    glDeleteBuffers(1, &source);
    SharedMemory::remove(names);
    const auto error = take_gl_error();
    require(error.empty(), "{} while sharing memory", error);
  });
  for (std::uint32_t lane = 0; lane < count(); ++lane) {
    std::uint32_t word = 0;
    std::memcpy(&word, memory.bytes().data() + lane * sizeof word, sizeof word);
    if (word != 0x600d0000u + lane) return false;
  }
  return true;
}

}  // namespace glassbox::gpu
