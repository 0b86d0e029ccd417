# Writes OUT: a table from shader name (relative to ROOT) to its text. Raw strings end with a delimiter no shader holds.
set(content "// Generated from shaders/ by cmake/embed_shaders.cmake.\n#include \"gpu/shader_source.h\"\n\nnamespace glassbox::gpu {\nconst std::map<std::string, std::string, std::less<>>& shader_table() {\n  static const std::map<std::string, std::string, std::less<>> table = {\n")
foreach(file IN LISTS FILES)
  file(RELATIVE_PATH name ${ROOT} ${file})
  file(READ ${file} text)
  string(APPEND content "      {\"${name}\", R\"__glsl__(${text})__glsl__\"},\n")
endforeach()
string(APPEND content "  };\n  return table;\n}\n}  // namespace glassbox::gpu\n")
file(WRITE ${OUT} "${content}")
