if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    message(FATAL_ERROR
        "GCC ${CMAKE_CXX_COMPILER_VERSION} destroys temporaries twice in co_await expressions; "
        "Insula needs Clang 19 or GCC 13 or later. On Debian 12: apt-get install clang-19 lld-19, "
        "then configure again in an empty build folder (scripts/run does both).")
endif()
