# rt_module(NAME [DEPS rt modules...] [PRIVATE third-party targets...] [LIGHT] [OWN_FLAGS])
#   library rt_NAME from src/NAME/**.cpp. Third-party links are private, so that a module that includes what it does
#   not own fails to compile. A file added to the tree is picked up by itself: no list names every op.
#   LIGHT: code that directs and does not compute, with RT_LIGHT_OPTIONS.
#   OWN_FLAGS: what is linked adds flags, such as -fopenmp, with which precompiled headers do not go.
function(rt_module name)
  cmake_parse_arguments(ARG "LIGHT;OWN_FLAGS" "" "DEPS;PRIVATE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cpp)
  if(NOT sources)
    add_library(rt_${name} INTERFACE)
    return()
  endif()
  add_library(rt_${name} STATIC ${sources})
  target_include_directories(rt_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(rt_${name} PUBLIC rt_flags PRIVATE ${ARG_PRIVATE})
  if(ARG_LIGHT)
    target_compile_options(rt_${name} PRIVATE ${RT_LIGHT_OPTIONS})
    rt_use_headers(rt_${name} rt_std_headers_light)
  elseif(NOT ARG_OWN_FLAGS)
    rt_use_headers(rt_${name} rt_std_headers)
  endif()
  foreach(dep ${ARG_DEPS})
    target_link_libraries(rt_${name} PUBLIC rt_${dep})
  endforeach()
endfunction()

# rt_module_tests(NAME [DEPS rt modules...] [PRIVATE ...] [ON_CUDA suites...] [ON_CUDA_SLOW suites...])
#   one test program from tests/NAME/**_test.cpp. Suites named *Slow* carry the label slow, *Grad* grad, *Dist* dist,
#   the rest fast. Those of dist, several processes with deadlines for each other, run alone.
#   ON_CUDA: these tests (gtest patterns) also run on the CUDA backend: on a GPU under the label gpu, where it is
#   built, and through the emulation of cuda/emulation/ on the CPU. ON_CUDA_SLOW: those of them that
#   take minutes where a sanitizer watches the emulation: the label slow keeps them out of such runs.
function(rt_module_tests name)
  cmake_parse_arguments(ARG "" "" "DEPS;PRIVATE;ON_CUDA;ON_CUDA_SLOW" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${name}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  set(target test_${name})
  add_library(${target}_objects OBJECT ${sources})
  target_include_directories(${target}_objects PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src)
  target_compile_definitions(${target}_objects PRIVATE RT_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    RT_BINARY_DIR="${PROJECT_BINARY_DIR}")
  target_link_libraries(${target}_objects PUBLIC GTest::gtest_main rt_flags ${ARG_PRIVATE})
  # -Warray-bounds, -Wstringop-overflow: with precompiled headers g++ 12 takes the inside of std::string's operator+ for
  # code of ours, and misreads it (GCC bug 105651). AddressSanitizer sees what there is to see.
  target_compile_options(${target}_objects PRIVATE ${RT_LIGHT_OPTIONS} -Wno-array-bounds -Wno-stringop-overflow)
  rt_use_headers(${target}_objects rt_test_headers)
  foreach(dep ${ARG_DEPS})
    target_link_libraries(${target}_objects PUBLIC rt_${dep})
  endforeach()
  include(GoogleTest)
  add_executable(${target})
  target_link_libraries(${target} PRIVATE ${target}_objects)
  set(common DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 120)
  gtest_discover_tests(${target} TEST_PREFIX ${name}. TEST_FILTER "-*Slow*:*Grad*:*Dist*"
    PROPERTIES LABELS fast TIMEOUT 300 ${common} TEST_LIST ${target}_fast)
  gtest_discover_tests(${target} TEST_PREFIX ${name}. TEST_FILTER "*Grad*:-*Slow*:*Dist*"
    PROPERTIES LABELS grad TIMEOUT 600 ${common} TEST_LIST ${target}_grad)
  gtest_discover_tests(${target} TEST_PREFIX ${name}. TEST_FILTER "*Dist*:-*Slow*"
    PROPERTIES LABELS dist TIMEOUT 600 RUN_SERIAL ON ${common} TEST_LIST ${target}_dist)
  gtest_discover_tests(${target} TEST_PREFIX ${name}. TEST_FILTER "*Slow*"
    PROPERTIES LABELS slow TIMEOUT 1800 ${common} TEST_LIST ${target}_slow)
  if(NOT ARG_ON_CUDA)
    return()
  endif()
  list(JOIN ARG_ON_CUDA ":" all)
  list(JOIN ARG_ON_CUDA_SLOW ":" slow)
  set(fast "${all}:-${slow}")
  foreach(form emulated gpu)
    if(form STREQUAL gpu)
      set(backend rt_cuda)
    else()
      set(backend rt_cuda_emulated)
    endif()
    if((form STREQUAL gpu AND NOT TARGET rt_cuda) OR (form STREQUAL emulated AND NOT TARGET rt_cuda_emulated))
      continue()
    endif()
    add_executable(${target}_${form})
    target_link_libraries(${target}_${form} PRIVATE ${target}_objects ${backend})
    foreach(speed fast slow)
      set(label ${speed})
      if(form STREQUAL gpu)
        set(label gpu)
      endif()
      if(${speed})
        gtest_discover_tests(${target}_${form} TEST_PREFIX ${form}.${name}. TEST_FILTER "${${speed}}" PROPERTIES
          LABELS ${label} TIMEOUT 600 ENVIRONMENT RT_TEST_IMPL=cuda ${common} TEST_LIST ${target}_${form}_${speed})
      endif()
    endforeach()
  endforeach()
endfunction()
