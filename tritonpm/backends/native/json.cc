#include "json.h"

#include <stdexcept>

namespace tritonpm {
namespace {

constexpr int kDeepest = 200;  // a config's nesting is bounded by its schema; no input may exhaust the stack

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  Json Whole() {
    Json value = Value(0);
    Blank();
    if (!rest_.empty()) Fail();
    return value;
  }

 private:
  [[noreturn]] static void Fail() { throw std::runtime_error("the config that Triton handed over is no JSON"); }

  void Blank() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\n' || rest_[0] == '\t' || rest_[0] == '\r')) {
      rest_.remove_prefix(1);
    }
  }

  bool Take(char wanted) {
    Blank();
    if (rest_.empty() || rest_[0] != wanted) return false;
    rest_.remove_prefix(1);
    return true;
  }

  void Need(char wanted) {
    if (!Take(wanted)) Fail();
  }

  Json Value(int depth) {
    if (depth > kDeepest) Fail();
    Blank();
    if (rest_.empty()) Fail();
    if (rest_[0] == '{') return Members(depth);
    if (rest_[0] == '[') return Items(depth);
    if (rest_[0] == '"') return Json::Text(String());
    return Scalar();
  }

  Json Members(int depth) {
    Json object = Json::Object();
    Need('{');
    if (Take('}')) return object;
    do {
      Blank();
      std::string name = String();
      Need(':');
      object.Set(name, Value(depth + 1));
    } while (Take(','));
    Need('}');
    return object;
  }

  Json Items(int depth) {
    Json array = Json::Array();
    Need('[');
    if (Take(']')) return array;
    do {
      array.Add(Value(depth + 1));
    } while (Take(','));
    Need(']');
    return array;
  }

  Json Scalar() {
    size_t length = 0;
    while (length < rest_.size() && std::string_view("+-.0123456789abcdefghijklmnopqrstuvwxyzE").find(rest_[length]) !=
                                        std::string_view::npos) {
      length++;
    }
    if (length == 0) Fail();
    std::string text(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return text == "null" ? Json() : Json::Scalar(std::move(text));
  }

  std::string String() {
    Need('"');
    std::string text;
    while (true) {
      if (rest_.empty()) Fail();
      char next = rest_[0];
      rest_.remove_prefix(1);
      if (next == '"') return text;
      if (next == '\\') {
        Escape(text);
      } else {
        text += next;
      }
    }
  }

  void Escape(std::string& text) {
    if (rest_.empty()) Fail();
    char next = rest_[0];
    rest_.remove_prefix(1);
    constexpr std::string_view kNames = "bfnrt\"\\/", kValues = "\b\f\n\r\t\"\\/";
    if (size_t at = kNames.find(next); at != std::string_view::npos) {
      text += kValues[at];
    } else if (next == 'u') {
      Utf8(text, Unit());
    } else {
      Fail();
    }
  }

  uint32_t Unit() {
    if (rest_.size() < 4) Fail();
    uint32_t code = 0;
    for (char digit : rest_.substr(0, 4)) {
      size_t value = std::string_view("0123456789abcdef").find(static_cast<char>(digit | (digit >= 'A' ? 0x20 : 0)));
      if (value == std::string_view::npos) Fail();
      code = code * 16 + static_cast<uint32_t>(value);
    }
    rest_.remove_prefix(4);
    return code;
  }

  void Utf8(std::string& text, uint32_t code) {
    if (code >= 0xD800 && code < 0xDC00 && rest_.substr(0, 2) == "\\u") {  // the first half of a pair
      rest_.remove_prefix(2);
      code = 0x10000 + ((code - 0xD800) << 10) + ((Unit() - 0xDC00) & 0x3FF);
    }
    auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((code >> shift) & 0x3F)); };
    if (code < 0x80) {
      text += static_cast<char>(code);
    } else if (code < 0x800) {
      text += static_cast<char>(0xC0 | (code >> 6));
      tail(0);
    } else if (code < 0x10000) {
      text += static_cast<char>(0xE0 | (code >> 12));
      tail(6), tail(0);
    } else {
      text += static_cast<char>(0xF0 | (code >> 18));
      tail(12), tail(6), tail(0);
    }
  }

  std::string_view rest_;
};

void Quote(std::string& out, const std::string& text) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (char letter : text) {
    if (letter == '"' || letter == '\\') {
      out += '\\';
      out += letter;
    } else if (static_cast<unsigned char>(letter) < 0x20) {
      out += "\\u00";
      out += kHex[letter >> 4];
      out += kHex[letter & 15];
    } else {
      out += letter;
    }
  }
  out += '"';
}

}  // namespace

Json Json::Parse(std::string_view text) { return Parser(text).Whole(); }

int64_t Json::number(int64_t otherwise) const {
  if (text_.empty()) return otherwise;
  try {
    return std::stoll(text_);
  } catch (const std::logic_error&) {
    return otherwise;
  }
}

const Json& Json::operator[](std::string_view name) const {
  static const Json nothing;
  for (const auto& [key, value] : members_) {
    if (key == name) return value;
  }
  return nothing;
}

Json& Json::Set(std::string_view name, Json value) {
  for (auto& [key, old] : members_) {
    if (key == name) return old = std::move(value);
  }
  return members_.emplace_back(std::string(name), std::move(value)).second;
}

Json& Json::Add(Json value) { return items_.emplace_back(std::move(value)); }

std::string Json::Write() const {
  std::string out;
  WriteTo(out);
  return out;
}

void Json::WriteTo(std::string& out) const {
  const char* comma = "";
  switch (kind_) {
    case Kind::kNull:
      out += "null";
      break;
    case Kind::kScalar:
      out += text_;
      break;
    case Kind::kText:
      Quote(out, text_);
      break;
    case Kind::kArray:
      out += '[';
      for (const Json& item : items_) {
        out += comma;
        item.WriteTo(out);
        comma = ",";
      }
      out += ']';
      break;
    case Kind::kObject:
      out += '{';
      for (const auto& [name, value] : members_) {
        out += comma;
        Quote(out, name);
        out += ':';
        value.WriteTo(out);
        comma = ",";
      }
      out += '}';
      break;
  }
}

}  // namespace tritonpm
