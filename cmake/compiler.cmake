# Prefer clang-19 (what scripts/run installs) unless the caller chose a compiler.
if(NOT DEFINED CMAKE_CXX_COMPILER AND NOT DEFINED ENV{CXX})
    find_program(INSULA_CLANGXX NAMES clang++-19)
    find_program(INSULA_CLANG NAMES clang-19)
    if(INSULA_CLANGXX AND INSULA_CLANG)
        set(CMAKE_C_COMPILER ${INSULA_CLANG} CACHE FILEPATH "C compiler")
        set(CMAKE_CXX_COMPILER ${INSULA_CLANGXX} CACHE FILEPATH "C++ compiler")
    endif()
endif()

find_program(INSULA_CCACHE ccache)
if(INSULA_CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
    # Without the sloppiness ccache takes nothing that uses a precompiled header; with base folder and without
    # the build folder in the hash, presets share what is compiled alike.
    set(launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros
        CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${INSULA_CCACHE})
    set(CMAKE_C_COMPILER_LAUNCHER ${launcher} CACHE STRING "")
    set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher} CACHE STRING "")
endif()
