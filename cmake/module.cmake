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
    if(INSULA_FAULT_POINTS)
        target_compile_definitions(insula_${name} PUBLIC INSULA_FAULT_POINTS=1)
    endif()
    if(EXISTS ${PROJECT_SOURCE_DIR}/src/${name}/pch.hpp)
        target_precompile_headers(insula_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src/${name}/pch.hpp)
    elseif(name MATCHES "^(api|app|http|pg|queue|identity|tenancy|workflows|runtime|audit|mail)$")
        target_precompile_headers(insula_${name} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch.hpp)
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
    add_custom_command(OUTPUT ${out}
        COMMAND ${CMAKE_COMMAND} -DFOLDER=${PROJECT_SOURCE_DIR}/${folder} -DOUT=${out}
            -P ${PROJECT_SOURCE_DIR}/cmake/embed_migrations.cmake
        DEPENDS ${sql} ${PROJECT_SOURCE_DIR}/cmake/embed_migrations.cmake
        COMMENT "Embedding migrations")
    add_library(insula_migrations STATIC ${out})
    target_include_directories(insula_migrations PUBLIC ${PROJECT_SOURCE_DIR}/include)
    target_link_libraries(insula_migrations PUBLIC insula_pg)
endfunction()
