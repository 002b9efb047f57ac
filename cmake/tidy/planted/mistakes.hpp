// Mistakes that scripts/tidy must find, each named where it is. Nothing compiles this folder but clang-tidy.
#pragma once

struct planted_in_a_header {
    int* owned = 0;  // finds: modernize-use-nullptr
};
