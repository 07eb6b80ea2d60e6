# rt_module(NAME [DEPS rt modules...] [PRIVATE third-party targets...])
#   library rt_NAME from src/NAME/**.cpp. Third-party links are private, so that a module that includes what it does
#   not own fails to compile. A file added to the tree is picked up by itself: no list names every op.
function(rt_module name)
  cmake_parse_arguments(ARG "" "" "DEPS;PRIVATE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cpp)
  if(NOT sources)
    add_library(rt_${name} INTERFACE)
    return()
  endif()
  add_library(rt_${name} STATIC ${sources})
  target_include_directories(rt_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(rt_${name} PUBLIC rt_flags PRIVATE ${ARG_PRIVATE})
  foreach(dep ${ARG_DEPS})
    target_link_libraries(rt_${name} PUBLIC rt_${dep})
  endforeach()
endfunction()

# rt_module_tests(NAME [DEPS rt modules...] [PRIVATE ...])
#   one test program from tests/NAME/**_test.cpp. Suites named *Slow* carry the label slow, *Grad* grad, *Dist* dist,
#   the rest fast.
function(rt_module_tests name)
  cmake_parse_arguments(ARG "" "" "DEPS;PRIVATE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${name}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  set(target test_${name})
  add_executable(${target} ${sources})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src)
  target_compile_definitions(${target} PRIVATE RT_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    RT_BINARY_DIR="${PROJECT_BINARY_DIR}")
  target_link_libraries(${target} PRIVATE GTest::gtest_main rt_flags ${ARG_PRIVATE})
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
  foreach(dep ${ARG_DEPS})
    target_link_libraries(${target} PRIVATE rt_${dep})
  endforeach()
  include(GoogleTest)
  set(common DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 120)
  gtest_discover_tests(${target} TEST_PREFIX ${name}. TEST_FILTER "-*Slow*:*Grad*:*Dist*"
    PROPERTIES LABELS fast TIMEOUT 300 ${common} TEST_LIST ${target}_fast)
  gtest_discover_tests(${target} TEST_PREFIX ${name}. TEST_FILTER "*Grad*:-*Slow*:*Dist*"
    PROPERTIES LABELS grad TIMEOUT 600 ${common} TEST_LIST ${target}_grad)
  gtest_discover_tests(${target} TEST_PREFIX ${name}. TEST_FILTER "*Dist*:-*Slow*"
    PROPERTIES LABELS dist TIMEOUT 600 ${common} TEST_LIST ${target}_dist)
  gtest_discover_tests(${target} TEST_PREFIX ${name}. TEST_FILTER "*Slow*"
    PROPERTIES LABELS slow TIMEOUT 1800 ${common} TEST_LIST ${target}_slow)
endfunction()
