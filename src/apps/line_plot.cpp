#include "apps/line_plot.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <numeric>
#include <utility>

#include "rt/core/error.h"

namespace rt {
namespace {

constexpr double kWidth = 860, kHeight = 500;
constexpr double kLeft = 70, kRight = 96, kTop = 64, kBottom = 58;
constexpr double kLabelGap = 15;  // between names at the ends of lines
// Okabe and Ito's colours, told apart by all eyes, without yellow.
constexpr const char* kColors[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                   "#56b4e9", "#e69f00", "#000000"};
constexpr const char* kGrey = "#555555";

std::string fixed(double v) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", v);
  return text;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else
      out += c;
  }
  return out;
}

class Canvas {
 public:
  explicit Canvas(const LinePlot& plot) : plot_(plot) {
    out_ = format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" width=\"{}\" height=\"{}\" "
        "font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\" fill=\"#222222\">\n"
        "<rect width=\"{}\" height=\"{}\" fill=\"#ffffff\"/>\n",
        kWidth, kHeight, kWidth, kHeight, kWidth, kHeight);
  }
  double x(double value) const {
    const double share = std::log2(value / plot_.x_min) / std::log2(plot_.x_max / plot_.x_min);
    return kLeft + share * (kWidth - kLeft - kRight);
  }
  double y(double value) const {
    return kHeight - kBottom - std::clamp(value / plot_.y_max, 0.0, 1.0) * (kHeight - kTop - kBottom);
  }
  void text(double at_x, double at_y, const std::string& what, const std::string& style) {
    out_ += format("<text x=\"{}\" y=\"{}\" {}>{}</text>\n", fixed(at_x), fixed(at_y), style, escaped(what));
  }
  void rule(double x1, double y1, double x2, double y2, const char* color) {
    out_ += format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"{}\"/>\n", fixed(x1), fixed(y1),
                   fixed(x2), fixed(y2), color);
  }
  void add(const std::string& element) { out_ += element; }
  std::string finish() { return out_ + "</svg>\n"; }

 private:
  const LinePlot& plot_;
  std::string out_;
};

void draw_axes(Canvas& c, const LinePlot& plot) {
  const double bottom = kHeight - kBottom, right = kWidth - kRight, middle = (kLeft + right) / 2;
  c.text(kLeft, 26, plot.title, "font-size=\"17\" font-weight=\"bold\"");
  c.text(kLeft, 46, plot.subtitle, "fill=\"#555555\"");
  const int steps = static_cast<int>(std::lround(plot.y_max / plot.y_step));
  for (int i = 0; i <= steps; ++i) {
    const double value = i * plot.y_step, at = c.y(value);
    c.rule(kLeft, at, right, at, i == 0 ? "#222222" : "#e2e2e2");
    char label[32];
    std::snprintf(label, sizeof(label), "%.6g", value);
    c.text(kLeft - 8, at + 4.5, label, "text-anchor=\"end\"");
  }
  for (double value = plot.x_min; value <= plot.x_max; value *= 2) {
    c.rule(c.x(value), bottom, c.x(value), bottom + 5, "#222222");
    c.text(c.x(value), bottom + 20, format("{}", static_cast<long>(value)), "text-anchor=\"middle\"");
  }
  c.text(middle, kHeight - 14, plot.x_title, "text-anchor=\"middle\"");
  const std::string turned =
      format("text-anchor=\"middle\" transform=\"rotate(-90 20 {})\"", fixed((kTop + bottom) / 2));
  c.text(20, (kTop + bottom) / 2, plot.y_title, turned);
}

// Heights of the names at the lines' ends, in the lines' order: each at its end, or as far below the one
// above as it must be.
std::vector<double> label_heights(const Canvas& c, const std::vector<LinePlot::Line>& lines) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < lines.size(); ++i)
    if (!lines[i].points.empty()) order.push_back(i);
  const auto end = [&](std::size_t i) { return c.y(lines[i].points.back().y); };
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return end(a) < end(b); });
  std::vector<double> heights(lines.size());
  double above = -kLabelGap;
  for (const std::size_t i : order) above = heights[i] = std::max(end(i), above + kLabelGap);
  double below = kHeight - kBottom + 4;  // none beneath the axis
  for (auto i = order.rbegin(); i != order.rend(); ++i) {
    heights[*i] = std::min(heights[*i], below);
    below = heights[*i] - kLabelGap;
  }
  return heights;
}

void draw_line(Canvas& c, const LinePlot::Line& line, const char* color, double label) {
  std::string path, dots;
  for (const LinePlot::Point& p : line.points) {
    path += (path.empty() ? "" : " ") + fixed(c.x(p.x)) + "," + fixed(c.y(p.y));
    dots += format("<circle cx=\"{}\" cy=\"{}\" r=\"2.6\" fill=\"{}\"/>\n", fixed(c.x(p.x)), fixed(c.y(p.y)),
                   color);
  }
  c.add(format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n", path, color) +
        dots);
  c.text(c.x(line.points.back().x) + 9, label + 4.5, line.name,
         format("fill=\"{}\" font-weight=\"bold\"", color));
}

// Heights of the marks' labels: beside their rings, but one beneath the other where rings of one x are close.
std::vector<double> mark_heights(const Canvas& c, const std::vector<LinePlot::Mark>& marks) {
  std::vector<std::size_t> order(marks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
    return std::pair(marks[a].at.x, c.y(marks[a].at.y)) < std::pair(marks[b].at.x, c.y(marks[b].at.y));
  });
  std::vector<double> heights(marks.size());
  for (std::size_t k = 0; k < order.size(); ++k) {
    const LinePlot::Mark& mark = marks[order[k]];
    double& height = heights[order[k]] = c.y(mark.at.y);
    if (k == 0 || marks[order[k - 1]].at.x != mark.at.x) continue;
    height = std::max(height, heights[order[k - 1]] + kLabelGap - 1);
  }
  return heights;
}

void draw_ring(Canvas& c, const LinePlot::Mark& mark, const char* color) {
  c.add(format("<circle cx=\"{}\" cy=\"{}\" r=\"5\" fill=\"#ffffff\" stroke=\"{}\" stroke-width=\"2.4\"/>\n",
               fixed(c.x(mark.at.x)), fixed(c.y(mark.at.y)), color));
}

}  // namespace

std::string LinePlot::svg() const {
  Canvas c(*this);
  draw_axes(c, *this);
  const std::vector<double> labels = label_heights(c, lines);
  const auto color_of = [](std::size_t i) { return kColors[i % std::size(kColors)]; };
  for (std::size_t i = 0; i < lines.size(); ++i)
    if (!lines[i].points.empty()) draw_line(c, lines[i], color_of(i), labels[i]);
  const std::vector<double> mark_labels = mark_heights(c, marks);
  const auto color_of_mark = [&](const Mark& mark) {
    const auto same = [&](const Line& line) { return line.name == mark.name; };
    const auto at = std::find_if(lines.begin(), lines.end(), same);
    return at == lines.end() ? kGrey : color_of(static_cast<std::size_t>(at - lines.begin()));
  };
  // Labels stand out from the lines they cross, rings from all.
  for (std::size_t k = 0; k < marks.size(); ++k) {
    c.text(c.x(marks[k].at.x) + 10, mark_labels[k] + 4.5, marks[k].label,
           format("fill=\"{}\" font-size=\"12\" paint-order=\"stroke\" stroke=\"#ffffff\" stroke-width=\"4\"",
                  color_of_mark(marks[k])));
  }
  for (const Mark& mark : marks) draw_ring(c, mark, color_of_mark(mark));
  return c.finish();
}

}  // namespace rt
