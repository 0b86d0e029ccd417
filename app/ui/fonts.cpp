#include <fontconfig/fontconfig.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "app/assets.h"
#include "app/ui/theme.h"
#include "gpu/error.h"

namespace glassbox::app::ui {
namespace {

// Pairs first, last; European letters, punctuation, currency, arrows, mathematics, boxes and blocks, geometric shapes.
constexpr ImWchar everyday[] = {0x0020, 0x024f, 0x02b0, 0x03ff, 0x0400, 0x052f, 0x1e00, 0x1eff, 0x2000,
                                0x206f, 0x2070, 0x209f, 0x20a0, 0x20bf, 0x2100, 0x214f, 0x2150, 0x218f,
                                0x2190, 0x21ff, 0x2200, 0x22ff, 0x2300, 0x23ff, 0x2500, 0x259f, 0x25a0,
                                0x25ff, 0x2600, 0x27bf, 0xfb00, 0xfb06, 0xfffd, 0xfffd, 0};
constexpr char32_t last_point = 0xffff;

using Pattern = std::unique_ptr<FcPattern, decltype(&FcPatternDestroy)>;
using CharSet = std::unique_ptr<FcCharSet, decltype(&FcCharSetDestroy)>;

/// The file of a font that has `point`; "" where none has. Bitmaps and colour fonts ImGui cannot draw.
std::string system_font_with(char32_t point, bool mono) {
  const Pattern wanted(FcPatternCreate(), FcPatternDestroy);
  const CharSet set(FcCharSetCreate(), FcCharSetDestroy);
  FcCharSetAddChar(set.get(), point);
  FcPatternAddCharSet(wanted.get(), FC_CHARSET, set.get());
  FcPatternAddBool(wanted.get(), FC_SCALABLE, FcTrue);
  FcPatternAddBool(wanted.get(), FC_COLOR, FcFalse);
  FcPatternAddString(wanted.get(), FC_FAMILY, reinterpret_cast<const FcChar8*>(mono ? "monospace" : "sans-serif"));
  FcConfigSubstitute(nullptr, wanted.get(), FcMatchPattern);
  FcDefaultSubstitute(wanted.get());
  FcResult result = FcResultMatch;
  const Pattern found(FcFontMatch(nullptr, wanted.get(), &result), FcPatternDestroy);
  FcChar8* file = nullptr;
  FcCharSet* has = nullptr;
  if (!found || FcPatternGetString(found.get(), FC_FILE, 0, &file) != FcResultMatch ||
      FcPatternGetCharSet(found.get(), FC_CHARSET, 0, &has) != FcResultMatch || !FcCharSetHasChar(has, point))
    return {};
  return reinterpret_cast<const char*>(file);
}

/// Ranges ImGui reads when the atlas is built, which is after load_fonts returned: they live until the next call.
struct Ranges {
  std::vector<ImWchar> points;
};
std::vector<std::unique_ptr<Ranges>>& kept_ranges() {
  static std::vector<std::unique_ptr<Ranges>> list;
  return list;
}

class Loader {
 public:
  Loader(float scale, const std::set<char32_t>& extra) : scale_(scale), extra_(extra) {}

  ImFont* load(const char* name, float size, bool mono) {
    const auto directory = assets_directory() / "fonts";
    auto file = (directory / name).string();
    if (!std::filesystem::exists(file)) file = system_font_with(U'A', mono);
    require(!file.empty(), "no font: {} is missing and fontconfig knows no other", (directory / name).string());
    auto& atlas = *ImGui::GetIO().Fonts;
    ImFontConfig config;
    config.OversampleH = 2;
    config.OversampleV = 1;
    config.GlyphRanges = everyday;
    ImFont* font = atlas.AddFontFromFileTTF(file.c_str(), std::round(size * scale_), &config);
    require(font != nullptr, "{}: not a font that can be read", file);
    // What the text needs beyond: one range list for each font file that has it.
    std::map<std::string, std::vector<ImWchar>> files;
    for (const auto point : extra_)
      if (point <= last_point)
        if (const auto other = system_font_with(point, mono); !other.empty())
          for (int twice = 0; twice < 2; ++twice) files[other].push_back(static_cast<ImWchar>(point));
    for (auto& [path, points] : files) {
      points.push_back(0);
      kept_ranges().push_back(std::make_unique<Ranges>(Ranges{std::move(points)}));
      ImFontConfig merged;
      merged.MergeMode = true;
      merged.OversampleH = 1;
      merged.GlyphRanges = kept_ranges().back()->points.data();
      atlas.AddFontFromFileTTF(path.c_str(), std::round(size * scale_), &merged);
    }
    return font;
  }

 private:
  float scale_;
  const std::set<char32_t>& extra_;
};

}  // namespace

Fonts load_fonts(float scale, const std::set<char32_t>& extra) {
  ImGui::GetIO().Fonts->Clear();
  kept_ranges().clear();
  constexpr float body = 16, heading = 21, code = 14.5F;
  Loader loader(scale, extra);
  Fonts fonts;
  fonts.body = loader.load("Inter-Regular.otf", body, false);
  fonts.bold = loader.load("Inter-SemiBold.otf", body, false);
  fonts.italic = loader.load("Inter-Italic.otf", body, false);
  fonts.bold_italic = loader.load("Inter-SemiBoldItalic.otf", body, false);
  fonts.heading = loader.load("Inter-SemiBold.otf", heading, false);
  fonts.mono = loader.load("JetBrainsMono-Regular.ttf", code, true);
  return fonts;
}

bool has_glyph(const Fonts& fonts, char32_t point) {
  return point > last_point || fonts.body->FindGlyphNoFallback(static_cast<ImWchar>(point)) != nullptr ||
         system_font_with(point, false).empty();
}

}  // namespace glassbox::app::ui
