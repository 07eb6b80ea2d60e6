# The compile flags of everything in this tree, as one interface target.
find_package(Threads REQUIRED)
find_program(CCACHE ccache)
if(CCACHE)
  # What it must be told about precompiled headers: its manual, "Precompiled headers".
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
endif()
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(rt_flags INTERFACE)
target_compile_features(rt_flags INTERFACE cxx_std_20)
target_include_directories(rt_flags INTERFACE ${PROJECT_SOURCE_DIR}/include)
target_link_libraries(rt_flags INTERFACE Threads::Threads)
# -Wrestrict: g++ 12 misreads std::string's operator+ (GCC bug 105651).
set(options -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-psabi -Wno-restrict
  $<$<CONFIG:Release>:-fno-math-errno> $<$<CONFIG:Release>:-fno-trapping-math>)
if(RT_WERROR)
  list(APPEND options -Werror)
endif()
if(CCACHE AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  list(APPEND options -fpch-preprocess)
endif()
if(RT_ARCH)
  list(APPEND options -march=${RT_ARCH})
endif()
if(RT_SANITIZE)
  list(APPEND options -fsanitize=${RT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
endif()
target_compile_options(rt_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${options}>")  # nvcc knows none of them
if(RT_SANITIZE)
  target_link_options(rt_flags INTERFACE -fsanitize=${RT_SANITIZE})
endif()

# Of code that directs and does not compute, and of tests: -O1 compiles in two thirds of the time of -O3, and under the
# sanitizers -O0 in half of that of -O1.
set(RT_LIGHT_OPTIONS $<$<CONFIG:Release>:-O1>)
if(RT_SANITIZE)
  set(RT_LIGHT_OPTIONS -O0)
endif()

# Standard headers, which are half of what a compiler reads here, precompiled once per set of flags:
#   rt_headers(SET [LIGHT] [headers...])  makes such a set
#   rt_use_headers(TARGET SET)            and this uses it. Files of TARGET with flags of their own must skip it.
# All files include what they use all the same: scripts/tidy.sh reads them without.
function(rt_headers set)
  cmake_parse_arguments(ARG "LIGHT" "" "" ${ARGN})
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/${set}.cpp CONTENT "")
  add_library(${set} OBJECT ${PROJECT_BINARY_DIR}/generated/${set}.cpp)
  target_link_libraries(${set} PRIVATE rt_flags)
  if(ARG_LIGHT)
    target_compile_options(${set} PRIVATE ${RT_LIGHT_OPTIONS})
  endif()
  target_precompile_headers(${set} PRIVATE <algorithm> <atomic> <chrono> <cmath> <condition_variable> <cstdio> <cstring>
    <filesystem> <fstream> <functional> <map> <memory> <mutex> <optional> <set> <span> <sstream> <string> <thread>
    <unordered_map> <vector> ${ARG_UNPARSED_ARGUMENTS})
endfunction()
function(rt_use_headers target set)
  target_precompile_headers(${target} REUSE_FROM ${set})
endfunction()
rt_headers(rt_std_headers)
rt_headers(rt_std_headers_light LIGHT)

# Written at build time, so that --version names the commit that was built and not the one that was configured.
add_custom_target(rt_version_header
  COMMAND ${CMAKE_COMMAND} -DOUT=${PROJECT_BINARY_DIR}/generated/version_info.h -DSOURCE=${PROJECT_SOURCE_DIR}
    -DVERSION=${PROJECT_VERSION} -P ${PROJECT_SOURCE_DIR}/cmake/WriteVersion.cmake
  BYPRODUCTS ${PROJECT_BINARY_DIR}/generated/version_info.h VERBATIM)
