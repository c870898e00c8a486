// JSON as Triton writes a model's config, and as it reads one: a tree that keeps the order of an object's members.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tritonpm {

class Json {
 public:
  enum class Kind { kNull, kScalar, kText, kArray, kObject };  // kScalar: a number, true or false, as it is written

  Json() = default;
  static Json Text(std::string text) { return Json(Kind::kText, std::move(text)); }
  static Json Scalar(std::string text) { return Json(Kind::kScalar, std::move(text)); }
  static Json Number(int64_t number) { return Scalar(std::to_string(number)); }
  static Json Array() { return Json(Kind::kArray, ""); }
  static Json Object() { return Json(Kind::kObject, ""); }
  // Throws std::runtime_error where `text` is no JSON.
  static Json Parse(std::string_view text);

  Kind kind() const { return kind_; }
  const std::string& text() const { return text_; }  // of a text or a scalar, "" of anything else
  int64_t number(int64_t otherwise = 0) const;       // protobuf writes 64-bit numbers as text
  bool truth() const { return text_ == "true"; }
  const std::vector<Json>& items() const { return items_; }
  const std::vector<std::pair<std::string, Json>>& members() const { return members_; }
  const Json& operator[](std::string_view name) const;  // null where there is none
  bool has(std::string_view name) const { return (*this)[name].kind_ != Kind::kNull; }

  Json& Set(std::string_view name, Json value);
  Json& Add(Json value);
  std::string Write() const;

 private:
  Json(Kind kind, std::string text) : kind_(kind), text_(std::move(text)) {}
  void WriteTo(std::string& out) const;

  Kind kind_ = Kind::kNull;
  std::string text_;
  std::vector<Json> items_;
  std::vector<std::pair<std::string, Json>> members_;
};

}  // namespace tritonpm
