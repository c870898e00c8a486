// Layouts in an IR file, which OpenVINO's C interface does not tell.
#pragma once

#include <string>

namespace tritonpm {

// Whether the file's layouts name a batch (N) for all its inputs and outputs.
bool LayoutsNameABatch(const std::string& path);

}  // namespace tritonpm
