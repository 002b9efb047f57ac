# Third-party libraries, each behind one target, so that a module names what it uses and nothing leaks.
# All are Debian packages; scripts/packages lists them.
find_package(Threads REQUIRED)
find_package(OpenSSL 3 REQUIRED COMPONENTS Crypto)
find_package(PostgreSQL REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(IDN2 REQUIRED IMPORTED_TARGET libidn2)
find_path(ZXCVBN_INCLUDE zxcvbn.h REQUIRED)
find_library(ZXCVBN_LIBRARY zxcvbn REQUIRED)
find_library(PROMETHEUS_CORE prometheus-cpp-core REQUIRED)
find_path(CLI11_INCLUDE CLI/CLI.hpp REQUIRED)
find_path(TOMLPP_INCLUDE toml++/toml.h REQUIRED)

# Asio, Beast and JSON compiled once: a translation unit with their sources costs ten seconds each.
add_library(insula_boost STATIC ${PROJECT_SOURCE_DIR}/cmake/boost/asio.cpp
    ${PROJECT_SOURCE_DIR}/cmake/boost/beast.cpp ${PROJECT_SOURCE_DIR}/cmake/boost/json.cpp)
target_include_directories(insula_boost SYSTEM PUBLIC ${Boost_INCLUDE_DIRS})
target_compile_definitions(insula_boost PUBLIC
    BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED
    BOOST_JSON_NO_LIB BOOST_URL_NO_LIB BOOST_ALL_NO_LIB
    # Beast includes Asio's SSL headers nowhere we use; TLS ends at the load balancer.
    BOOST_ASIO_DISABLE_VISIBILITY)
target_link_libraries(insula_boost PUBLIC Threads::Threads)

add_library(insula_text INTERFACE)
target_link_libraries(insula_text INTERFACE PkgConfig::UTF8PROC PkgConfig::IDN2 fmt::fmt)
add_library(insula_log INTERFACE)
target_link_libraries(insula_log INTERFACE spdlog::spdlog fmt::fmt)
add_library(insula_prometheus INTERFACE)
target_link_libraries(insula_prometheus INTERFACE ${PROMETHEUS_CORE})
add_library(insula_uring INTERFACE)
target_link_libraries(insula_uring INTERFACE PkgConfig::URING)
add_library(insula_passwords INTERFACE)
target_include_directories(insula_passwords SYSTEM INTERFACE ${ZXCVBN_INCLUDE})
target_link_libraries(insula_passwords INTERFACE PkgConfig::SODIUM ${ZXCVBN_LIBRARY})
add_library(insula_command_line INTERFACE)
target_include_directories(insula_command_line SYSTEM INTERFACE ${CLI11_INCLUDE} ${TOMLPP_INCLUDE})
add_library(insula_smtp INTERFACE)
target_link_libraries(insula_smtp INTERFACE PkgConfig::CURL)
