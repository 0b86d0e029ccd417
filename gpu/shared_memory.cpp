#include "gpu/shared_memory.h"

#include <GLES3/gl32.h>
// After the core header, whose types it uses.
#include <GLES2/gl2ext.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <mutex>
#include <utility>

#include "gpu/egl.h"
#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

/// What llvmpipe looks for at the head of a file that it imports. When it lets go of the memory it finds its way back
/// by a word in front of the data, the distance to this header, and unmaps as many bytes as stand here.
struct Header {
  std::size_t file_bytes, offset;
  std::uint8_t driver[16];  ///< the first 16 bytes of SHA-1("llvmpipe")
};
constexpr std::uint8_t llvmpipe[16] = {0x6c, 0xb9, 0xee, 0x07, 0x4a, 0x0b, 0xad, 0x7b,
                                       0x01, 0x2e, 0x1b, 0xe9, 0x69, 0x7e, 0x53, 0x0f};

std::size_t physical_bytes() {
  return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

SharedMemory::SharedMemory(std::size_t bytes) : bytes_(bytes) {
  // The kernel would promise more than there is, and end the process at the first touch.
  require(bytes <= physical_bytes(), "out of device memory while allocating a buffer of {} bytes", bytes);
  // The driver wants some bytes past the end, and rounds up; what is never touched costs nothing.
  constexpr std::size_t step = 65536;
  file_bytes_ = header_bytes + (bytes + step - 1) / step * step + step;
  file_ = memfd_create("glassbox", MFD_CLOEXEC);
  void* map = MAP_FAILED;
  if (file_ >= 0 && ftruncate(file_, static_cast<off_t>(file_bytes_)) == 0)
    map = mmap(nullptr, file_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
  if (map == MAP_FAILED) {
    close_file();
    fail("out of device memory while allocating a buffer of {} bytes", bytes);
  }
  map_ = static_cast<std::byte*>(map);
  Header header{file_bytes_, header_bytes, {}};
  std::memcpy(header.driver, llvmpipe, sizeof llvmpipe);
  std::memcpy(map_, &header, sizeof header);
  std::memcpy(map_ + header_bytes - sizeof header.offset, &header.offset, sizeof header.offset);
}

SharedMemory::~SharedMemory() {
  close_file();
  munmap(map_, file_bytes_);
}

void SharedMemory::close_file() {
  if (file_ >= 0) close(std::exchange(file_, -1));
}

void SharedMemory::write(std::size_t offset, std::span<const std::byte> bytes) const {
  std::memcpy(this->bytes().data() + offset, bytes.data(), bytes.size());
  // Pages of a large upload leave this map (not the file): else the process seems to hold them twice.
  constexpr std::size_t large = std::size_t{1} << 20, page = 4096;
  if (bytes.size() < large) return;
  const std::size_t begin = (header_bytes + offset + page - 1) / page * page,
                    end = (header_bytes + offset + bytes.size()) / page * page;
  madvise(map_ + begin, end - begin, MADV_DONTNEED);
}

SharedMemory::Names SharedMemory::import() const {
  static auto* const create = gl_function<void GL_APIENTRY(GLsizei, GLuint*)>("glCreateMemoryObjectsEXT");
  static auto* const take = gl_function<void GL_APIENTRY(GLuint, GLuint64, GLenum, GLint)>("glImportMemoryFdEXT");
  static auto* const lay = gl_function<void GL_APIENTRY(GLenum, GLsizeiptr, GLuint, GLuint64)>("glBufferStorageMemEXT");
  Names names;
  create(1, &names.memory);
  glGenBuffers(1, &names.buffer);
  // The driver reads the header through the file's position, which copies of a descriptor share, and closes its copy.
  static std::mutex reading;
  {
    const std::lock_guard lock(reading);
    take(names.memory, file_bytes_, GL_HANDLE_TYPE_OPAQUE_FD_EXT, fcntl(file_, F_DUPFD_CLOEXEC, 0));
  }
  glBindBuffer(GL_SHADER_STORAGE_BUFFER, names.buffer);
  lay(GL_SHADER_STORAGE_BUFFER, static_cast<GLsizeiptr>(bytes_), names.memory, 0);
  return names;
}

void SharedMemory::remove(const Names& names) {
  static auto* const remove_memory = gl_function<void GL_APIENTRY(GLsizei, const GLuint*)>("glDeleteMemoryObjectsEXT");
  glDeleteBuffers(1, &names.buffer);
  remove_memory(1, &names.memory);
}

}  // namespace glassbox::gpu
