# The modules on top of runtime include Asio's coroutine vocabulary everywhere. It is precompiled once for all of
# them and their tests: their definitions and options are the same, so one header serves.
set(INSULA_COROUTINE_MODULES runtime pg http audit tenancy queue mail identity workflows api app)
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/pch.cpp
    CONTENT "// Only here so that the precompiled header has a target.\n")
add_library(insula_pch STATIC ${PROJECT_BINARY_DIR}/generated/pch.cpp)
target_link_libraries(insula_pch PUBLIC insula_boost insula_text insula_log insula_prometheus)
target_compile_options(insula_pch PRIVATE ${INSULA_WARNINGS})
target_precompile_headers(insula_pch PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch.hpp)

# insula_module(name USES targets...): src/<name>/*.cpp as the static library insula_<name>, with its public
# headers under include/insula/<name>. A module without sources yet is an interface library.
function(insula_module name)
    cmake_parse_arguments(ARG "" "" "USES" ${ARGN})
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cpp)
    if(NOT sources)
        add_library(insula_${name} INTERFACE)
        target_include_directories(insula_${name} INTERFACE ${PROJECT_SOURCE_DIR}/include)
        target_link_libraries(insula_${name} INTERFACE ${ARG_USES})
        return()
    endif()
    add_library(insula_${name} STATIC ${sources})
    target_include_directories(insula_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include
        PRIVATE ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(insula_${name} PUBLIC ${ARG_USES})
    target_compile_options(insula_${name} PRIVATE ${INSULA_WARNINGS})
    if(name IN_LIST INSULA_COROUTINE_MODULES)
        target_precompile_headers(insula_${name} REUSE_FROM insula_pch)
    endif()
    if(INSULA_FUZZ AND name IN_LIST INSULA_FUZZED_MODULES)
        target_compile_options(insula_${name} PRIVATE ${INSULA_FUZZ_OPTIONS})
    endif()
endfunction()

# insula_embed_migrations(module folder): every NNNN_name.sql below folder/{control,tenant} becomes part of the
# library as a generated table (insula/generated/migrations.hpp is written by cmake/embed_migrations.cmake).
function(insula_embed_migrations module folder)
    file(GLOB sql CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/bootstrap/*.sql ${PROJECT_SOURCE_DIR}/${folder}/control/*.sql
        ${PROJECT_SOURCE_DIR}/${folder}/tenant/*.sql)
    if(NOT sql)
        return()
    endif()
    set(out ${PROJECT_BINARY_DIR}/generated/migrations.cpp)
    # Renaming a file leaves its time as it was: the list of names is an input of its own.
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/migrations.list CONTENT "${sql}")
    add_custom_command(OUTPUT ${out}
        COMMAND ${CMAKE_COMMAND} -DFOLDER=${PROJECT_SOURCE_DIR}/${folder} -DOUT=${out}
            -P ${PROJECT_SOURCE_DIR}/cmake/embed_migrations.cmake
        DEPENDS ${sql} ${PROJECT_BINARY_DIR}/generated/migrations.list ${PROJECT_SOURCE_DIR}/cmake/embed_migrations.cmake
        COMMENT "Embedding migrations")
    add_library(insula_migrations STATIC ${out})
    target_include_directories(insula_migrations PUBLIC ${PROJECT_SOURCE_DIR}/include)
    target_link_libraries(insula_migrations PUBLIC insula_pg)
endfunction()
