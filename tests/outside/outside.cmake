# Installs BUILD into OUT/prefix, then builds and runs each of PROJECTS against it.
function(run folder)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${folder}
    RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    string(REPLACE ";" " " command "${ARGN}")
    message(FATAL_ERROR "${command}: ${status}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

set(prefix ${OUT}/prefix)
file(REMOVE_RECURSE ${prefix})
run(${BUILD} ${CMAKE_COMMAND} --install . --prefix ${OUT}/staged --config ${CONFIG})
# The tree may be moved: nothing may know where it was first.
file(RENAME ${OUT}/staged ${prefix})
set(hello ${CMAKE_CURRENT_LIST_DIR}/hello)

foreach(project IN LISTS PROJECTS)
  set(source ${CMAKE_CURRENT_LIST_DIR}/${project})
  set(build ${OUT}/${project})
  file(REMOVE_RECURSE ${build})
  file(MAKE_DIRECTORY ${build})
  if(project STREQUAL "make")
    file(COPY ${source}/Makefile ${hello}/hello.c ${hello}/hello.proto DESTINATION ${build})
    run(${build} ${CMAKE_COMMAND} -E env PKG_CONFIG_PATH=${prefix}/${LIBDIR}/pkgconfig
      "CC=${CC}" "CFLAGS=${FLAGS} -g" "LDFLAGS=${FLAGS}" make)
  else()
    run(${build} ${CMAKE_COMMAND} -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${prefix}
      -DCMAKE_BUILD_TYPE=${CONFIG} "-DCMAKE_C_FLAGS=${FLAGS}" "-DCMAKE_CXX_FLAGS=${FLAGS}" ${source})
    run(${build} ${CMAKE_COMMAND} --build . --config ${CONFIG})
  endif()
  run(${build} ./hello)
  if(NOT output MATCHES "^Hello, world!\n")
    message(FATAL_ERROR "${project}: hello says: ${output}")
  endif()
  message(STATUS "${project}: built and called")
endforeach()
