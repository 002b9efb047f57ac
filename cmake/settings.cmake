set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
# Nothing here is a C++20 named module: without this CMake would scan every file for one.
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)

option(INSULA_TESTS "Build the tests" ON)
option(INSULA_BENCH "Build the benchmarks" OFF)
option(INSULA_FUZZ "Build the libFuzzer programs, tests/fuzz (clang; with INSULA_SANITIZE=address,undefined)" OFF)
option(INSULA_FAULT_POINTS "Compile the named fault points of the queue in (test builds only)" ON)
set(INSULA_SANITIZE "" CACHE STRING "As after -fsanitize=, such as address,undefined or thread")
option(INSULA_COVERAGE "Instrument for source coverage (clang)" OFF)

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Debug CACHE STRING "" FORCE)
endif()
# Debug information for the whole of Beast and Asio costs minutes; line tables are what traces need.
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -gline-tables-only")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -gline-tables-only")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -gline-tables-only")
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    string(REPLACE "-gline-tables-only" "-g1" CMAKE_CXX_FLAGS_DEBUG "${CMAKE_CXX_FLAGS_DEBUG}")
    string(REPLACE "-gline-tables-only" "-g1" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")
    string(REPLACE "-gline-tables-only" "-g1" CMAKE_CXX_FLAGS_RELWITHDEBINFO
        "${CMAKE_CXX_FLAGS_RELWITHDEBINFO}")
endif()

add_compile_options(-fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    add_compile_options("SHELL:-Xclang -fno-pch-timestamp")  # for ccache
    find_program(INSULA_LLD NAMES ld.lld-19 ld.lld)
    if(INSULA_LLD)
        add_link_options(--ld-path=${INSULA_LLD})
    endif()
endif()
if(INSULA_SANITIZE)
    add_compile_options(-fsanitize=${INSULA_SANITIZE} -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${INSULA_SANITIZE})
    if(INSULA_SANITIZE MATCHES "undefined")
        # Debian's libfmt and libspdlog are built without it, so every object of theirs looks wrong to this check.
        add_compile_options(-fno-sanitize=vptr)
    endif()
endif()
if(INSULA_COVERAGE)
    # The last option lets the counters live in a mapped file (scripts/coverage): whoever is killed has counted, too.
    add_compile_options(-fprofile-instr-generate -fcoverage-mapping "SHELL:-mllvm -runtime-counter-relocation")
    add_link_options(-fprofile-instr-generate)
endif()
# What libFuzzer steers by, in the modules whose code meets input first; the others are run, not searched. An option of
# code generation only, so that the precompiled header and everything else serve tests and fuzz programs alike.
set(INSULA_FUZZED_MODULES core http token api)
set(INSULA_FUZZ_OPTIONS -fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp)
# One definition for everything: the modules share one precompiled header, so their definitions must agree.
if(INSULA_FAULT_POINTS)
    add_compile_definitions(INSULA_FAULT_POINTS=1)
endif()

set(INSULA_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Werror
    # Designated initialisers leave the rest at its default, on purpose.
    -Wno-missing-field-initializers)
