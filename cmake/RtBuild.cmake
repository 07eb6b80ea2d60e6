# The compile flags of everything in this tree, as one interface target.
find_package(Threads REQUIRED)
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
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

# Written at build time, so that --version names the commit that was built and not the one that was configured.
add_custom_target(rt_version_header
  COMMAND ${CMAKE_COMMAND} -DOUT=${PROJECT_BINARY_DIR}/generated/version_info.h -DSOURCE=${PROJECT_SOURCE_DIR}
    -DVERSION=${PROJECT_VERSION} -P ${PROJECT_SOURCE_DIR}/cmake/WriteVersion.cmake
  BYPRODUCTS ${PROJECT_BINARY_DIR}/generated/version_info.h VERBATIM)
