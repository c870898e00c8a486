#include "ir_layouts.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <string_view>
#include <vector>

namespace tritonpm {
namespace {

// The value of an attribute in the first tag of `element`, "" where it has none.
std::string_view Attribute(std::string_view element, std::string_view name) {
  std::string_view tag = element.substr(0, element.find('>'));
  std::string start = " " + std::string(name) + "=\"";
  size_t at = tag.find(start);
  if (at == tag.npos) return {};
  tag.remove_prefix(at + start.size());
  return tag.substr(0, tag.find('"'));
}

// Every element whose text goes from `start` to `end`.
std::vector<std::string_view> Elements(std::string_view text, std::string_view start, std::string_view end) {
  std::vector<std::string_view> elements;
  for (size_t at = 0; (at = text.find(start, at)) != text.npos;) {
    size_t stop = std::min(text.find(end, at), text.size());
    elements.push_back(text.substr(at, stop - at));
    at = stop;
  }
  return elements;
}

// Whether the layout of a layer's output names a batch; `port` is its id, "" for the only one.
bool NamesABatch(std::string_view layer, std::string_view port) {
  size_t output = layer.find("<output>");
  if (output == layer.npos) return false;
  for (std::string_view element : Elements(layer.substr(output), "<port ", "</port>")) {
    if (!port.empty() && Attribute(element, "id") != port) continue;
    for (std::string_view attribute : Elements(element, "<attribute ", ">")) {
      if (Attribute(attribute, "name") != "layout") continue;
      std::string_view layout = Attribute(attribute, "layout");  // [N,C,...]
      if (layout.size() < 2) return false;
      return ("," + std::string(layout.substr(1, layout.size() - 2)) + ",").find(",N,") != std::string::npos;
    }
    return false;
  }
  return false;
}

}  // namespace

bool LayoutsNameABatch(const std::string& path) {
  if (path.size() < 4 || path.compare(path.size() - 4, 4, ".xml") != 0) return false;
  std::ifstream stream(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  std::map<std::string_view, std::string_view> layers, edges;  // by id; by the id of the layer that they go to
  for (std::string_view layer : Elements(text, "<layer ", "</layer>")) layers[Attribute(layer, "id")] = layer;
  for (std::string_view edge : Elements(text, "<edge ", ">")) edges[Attribute(edge, "to-layer")] = edge;
  bool any = false;
  for (const auto& [id, layer] : layers) {
    std::string_view type = Attribute(layer, "type");
    if (type == "Parameter" && !NamesABatch(layer, "")) return false;
    if (type == "Result") {
      std::string_view edge = edges[id];
      if (!NamesABatch(layers[Attribute(edge, "from-layer")], Attribute(edge, "from-port"))) return false;
      any = true;
    }
  }
  return any;
}

}  // namespace tritonpm
