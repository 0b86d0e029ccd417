#include <gtest/gtest.h>

#include <cstdlib>

int main(int argc, char** argv) {
  // Which kernels run is the rule's choice, here and in the programs that tests start, not that of a table in this
  // machine's cache.
  setenv("GLASSBOX_TUNE", "off", 0);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
