# What every target of Turnpike shares: the language, the warnings, the packages, and the shapes of a room and a program.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# Line tables are what a stack trace needs; whole debug information doubles the build. A debugger's user sets -g.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -gline-tables-only -DNDEBUG" CACHE STRING "" FORCE)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")

find_program(TURNPIKE_CCACHE ccache)
if(TURNPIKE_CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${TURNPIKE_CCACHE}")
  set(CMAKE_C_COMPILER_LAUNCHER "${TURNPIKE_CCACHE}")
endif()

set(Boost_USE_STATIC_LIBS ON)  # for the memory of an idle gateway: docs/decisions/0007-static-wallet-libraries.md
find_package(Boost 1.81 REQUIRED COMPONENTS url)
find_package(OpenSSL REQUIRED)
# Static where there is a choice: docs/decisions/0020-sqlite-is-linked-statically.md.
find_library(SQLite3_LIBRARY NAMES libsqlite3.a sqlite3)
find_package(SQLite3 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(simdjson REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(prometheus-cpp REQUIRED CONFIG COMPONENTS core)
find_package(CLI11 REQUIRED)
find_package(Threads REQUIRED)
set_property(TARGET SQLite::SQLite3 APPEND PROPERTY INTERFACE_LINK_LIBRARIES Threads::Threads m ${CMAKE_DL_LIBS})
find_package(mimalloc REQUIRED)
# For wallets alone, and static where there is a choice: docs/decisions/0007-static-wallet-libraries.md.
find_path(SECP256K1_INCLUDE_DIR secp256k1_recovery.h REQUIRED)
find_library(SECP256K1_LIBRARY NAMES libsecp256k1.a secp256k1 REQUIRED)
find_path(BOTAN_INCLUDE_DIR botan/keccak.h PATH_SUFFIXES botan-2 REQUIRED)
find_library(BOTAN_LIBRARY NAMES libbotan-2.a botan-2 REQUIRED)
# For schemas' regular expressions alone, and static for the same reason.
find_path(RE2_INCLUDE_DIR re2/re2.h REQUIRED)
find_library(RE2_LIBRARY NAMES libre2.a re2 REQUIRED)
mark_as_advanced(RE2_INCLUDE_DIR RE2_LIBRARY SECP256K1_INCLUDE_DIR SECP256K1_LIBRARY BOTAN_INCLUDE_DIR BOTAN_LIBRARY)

add_library(turnpike_wallet_cryptography INTERFACE)
target_include_directories(turnpike_wallet_cryptography SYSTEM INTERFACE "${SECP256K1_INCLUDE_DIR}" "${BOTAN_INCLUDE_DIR}")
target_link_libraries(turnpike_wallet_cryptography INTERFACE "${SECP256K1_LIBRARY}" "${BOTAN_LIBRARY}")

add_library(turnpike_regular_expressions INTERFACE)
target_include_directories(turnpike_regular_expressions SYSTEM INTERFACE "${RE2_INCLUDE_DIR}")
target_link_libraries(turnpike_regular_expressions INTERFACE "${RE2_LIBRARY}" Threads::Threads)

# spdlog's headers, with its compiled half in src/base/spdlog.cpp.
add_library(turnpike_spdlog INTERFACE)
target_compile_definitions(turnpike_spdlog INTERFACE SPDLOG_COMPILED_LIB SPDLOG_FMT_EXTERNAL)
target_link_libraries(turnpike_spdlog INTERFACE fmt::fmt)

add_library(turnpike_options INTERFACE)
target_include_directories(turnpike_options INTERFACE "${PROJECT_SOURCE_DIR}/include")
target_compile_options(turnpike_options INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wold-style-cast -Werror)
target_compile_definitions(
  turnpike_options
  INTERFACE BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED
            # A request has some fifteen coroutine frames alive at once; two kept frames would send the rest to malloc.
            BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE=16
            # Frames that are not kept come from operator new: nothing in them asks for more alignment than it gives.
            BOOST_ASIO_DISABLE_STD_ALIGNED_ALLOC BOOST_ASIO_DISABLE_BOOST_ALIGN
            TURNPIKE_VERSION="${PROJECT_VERSION}")
target_link_libraries(turnpike_options INTERFACE Threads::Threads)
# What nothing calls is left out, and what is the same stands once: pages that are not there cost no memory.
target_compile_options(turnpike_options INTERFACE -ffunction-sections -fdata-sections)
target_link_options(turnpike_options INTERFACE -Wl,--gc-sections)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # What is read or run at every start lies close together: relocations packed to a hundredth (glibc 2.36 knows them), and
  # initialisers apart from code that may never run.
  target_link_options(turnpike_options INTERFACE -fuse-ld=lld-19 -Wl,-z,pack-relative-relocs
                      -Wl,-z,keep-text-section-prefix)
  if(NOT TURNPIKE_SANITIZE)
    target_link_options(turnpike_options INTERFACE -Wl,--icf=safe)
  endif()
endif()

set(TURNPIKE_PROFILE "" CACHE STRING "`record`: a program that records what runs often; a file: what it recorded (scripts/release.sh)")

# Code that records, or that is laid out by a record. A new record means new code.
function(turnpike_profiled target)
  if(TURNPIKE_PROFILE STREQUAL "record")
    target_compile_options(${target} PRIVATE -fprofile-generate)
    target_link_options(${target} PUBLIC -fprofile-generate)
  elseif(TURNPIKE_PROFILE)
    # What the load never ran is left as it is, without a word.
    target_compile_options(${target} PRIVATE "-fprofile-use=${TURNPIKE_PROFILE}" -Wno-profile-instr-unprofiled)
    get_target_property(sources ${target} SOURCES)
    set_source_files_properties(${sources} PROPERTIES OBJECT_DEPENDS "${TURNPIKE_PROFILE}")
  endif()
endfunction()

set(TURNPIKE_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize takes them (address,undefined or thread)")
if(TURNPIKE_SANITIZE)
  target_compile_options(turnpike_options INTERFACE -fsanitize=${TURNPIKE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(turnpike_options INTERFACE -fsanitize=${TURNPIKE_SANITIZE})
endif()

# The gateway's memory: docs/decisions/0015-mimalloc.md. Sanitizers have an allocator of their own.
add_library(turnpike_allocator INTERFACE)
if(NOT TURNPIKE_SANITIZE)
  target_compile_definitions(turnpike_allocator INTERFACE TURNPIKE_MIMALLOC)
  target_link_libraries(turnpike_allocator INTERFACE mimalloc)
endif()

# turnpike_room(NAME LINKS ...): one static library from src/NAME/*.cpp, known to others as turnpike::NAME.
function(turnpike_room name)
  cmake_parse_arguments(arg "" "" "LINKS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/${name}/*.cpp")
  add_library(turnpike_${name} STATIC ${sources})
  turnpike_profiled(turnpike_${name})
  add_library(turnpike::${name} ALIAS turnpike_${name})
  target_link_libraries(turnpike_${name} PUBLIC turnpike_options ${arg_LINKS})
endfunction()

# turnpike_program(NAME [sources...] [GLOB folder] LINKS ...): one executable, left in the build folder.
function(turnpike_program name)
  cmake_parse_arguments(arg "" "GLOB" "LINKS" ${ARGN})
  set(sources ${arg_UNPARSED_ARGUMENTS})
  if(arg_GLOB)
    file(GLOB globbed CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${arg_GLOB}/*.cpp")
    list(APPEND sources ${globbed})
  endif()
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE turnpike_options ${arg_LINKS})
endfunction()
