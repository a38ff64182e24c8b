# farcall_generate() called wrongly: each mistake is told in one line.
#   cmake -DGENERATE=cmake/FarcallGenerate.cmake -P wrong_use.cmake
if(CASE)
  include(${GENERATE})
  farcall_generate(${CASE})
  return()
endif()

function(expect text)
  set(case "${ARGN}")
  execute_process(COMMAND ${CMAKE_COMMAND} "-DCASE=${case}" -DGENERATE=${GENERATE}
    -P ${CMAKE_CURRENT_FUNCTION_LIST_FILE}
    WORKING_DIRECTORY ${CMAKE_CURRENT_LIST_DIR}/good
    RESULT_VARIABLE status ERROR_VARIABLE errors)
  # CMake breaks long lines.
  string(REGEX REPLACE "[ \n]+" " " errors "${errors}")
  string(FIND "${errors}" "${text} Call Stack" at)
  if(status EQUAL 0 OR at EQUAL -1)
    message(SEND_ERROR "${case}: \"${text}\" is not what it says:\n${errors}")
  endif()
endfunction()

set(here ${CMAKE_CURRENT_LIST_DIR}/good)
expect("farcall_generate: PROTOS names ${here}/BOGUS, which is no file" TARGET x PROTOS shapes.proto BOGUS)
expect("farcall_generate: PROTOS names ${here}/sub, which is no file" TARGET x PROTOS sub)
expect("farcall_generate: TYPE is STATIC or OBJECT, not SHARED" TARGET x PROTOS shapes.proto TYPE SHARED)
expect("[OUT_DIR dir] [LINK target...]): got TARGET;x;PROTO;shapes.proto" TARGET x PROTO shapes.proto)
