#pragma once
#include <string>
#include <vector>

namespace rt {

// A plot of lines over a logarithmic x axis (powers of two), as SVG: dark on white, each line named at its
// end.
struct LinePlot {
  struct Point {
    double x = 1, y = 0;
  };
  struct Line {
    std::string name;
    std::vector<Point> points;  // x ascending; none: left out
  };
  struct Mark {  // a ring, of the colour of the line of that name, or grey
    std::string name, label;
    Point at;
  };
  std::string title, subtitle, x_title, y_title;
  double x_min = 1, x_max = 2;  // powers of two
  double y_max = 1;             // from 0
  double y_step = 0.1;          // between grid lines
  std::vector<Line> lines;
  std::vector<Mark> marks;

  std::string svg() const;
};

}  // namespace rt
