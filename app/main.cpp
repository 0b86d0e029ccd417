#include "app/cli/command.h"

int main(int argc, char** argv) { return glassbox::app::run_program(argc, argv); }
