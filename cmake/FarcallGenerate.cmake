# farcall_generate(TARGET name
#                  PROTOS file.proto...
#                  [IMPORT_DIRS dir...]   # where imports are looked for; default: this folder
#                  [TYPE STATIC|OBJECT]   # default STATIC
#                  [OUT_DIR dir]          # default: <name>.farcall in the build folder
#                  [LINK target...])      # default: farcall::farcall, else farcall::static
#
# A library of the messages (protobuf-c) and stubs (farcall) of .proto files. A file's name as
# others import it is its path below the first of IMPORT_DIRS that holds it; its headers are
# included by that name: "dir/x.farcall.h". All is made again when a .proto or one that it imports
# changes.
#
# What it runs, and how to name another one (a cross build needs a plugin for the host):
#   FARCALL_PROTOC           protoc
#   FARCALL_PROTOC_PLUGIN    protoc-gen-farcall
#   FARCALL_PROTOC_C_PLUGIN  protoc-gen-c, of protobuf-c
#   FARCALL_PROTOC_C         protoc-c, its older form; used where there is no protoc-gen-c

function(_farcall_find_tools)
  find_program(FARCALL_PROTOC NAMES protoc DOC "The protobuf compiler")
  find_program(FARCALL_PROTOC_C_PLUGIN NAMES protoc-gen-c DOC "protobuf-c's plugin of protoc")
  if(NOT FARCALL_PROTOC_C_PLUGIN)
    find_program(FARCALL_PROTOC_C NAMES protoc-c DOC "protobuf-c's compiler")
  endif()
  if(NOT FARCALL_PROTOC)
    message(FATAL_ERROR "farcall_generate: no protoc found; set FARCALL_PROTOC")
  endif()
  if(NOT FARCALL_PROTOC_C_PLUGIN AND NOT FARCALL_PROTOC_C)
    message(FATAL_ERROR "farcall_generate: no protoc-gen-c of protobuf-c found; set "
      "FARCALL_PROTOC_C_PLUGIN")
  endif()
endfunction()

# Sets ${result} to the plugin's path or generator expression.
function(_farcall_plugin result)
  if(FARCALL_PROTOC_PLUGIN)
    set(plugin ${FARCALL_PROTOC_PLUGIN})
  elseif(CMAKE_CROSSCOMPILING)
    find_program(FARCALL_PROTOC_PLUGIN NAMES protoc-gen-farcall DOC "farcall's plugin of protoc")
    if(NOT FARCALL_PROTOC_PLUGIN)
      message(FATAL_ERROR "farcall_generate: set FARCALL_PROTOC_PLUGIN to a protoc-gen-farcall "
        "that runs here")
    endif()
    set(plugin ${FARCALL_PROTOC_PLUGIN})
  elseif(TARGET farcall::protoc-gen-farcall)
    set(plugin $<TARGET_FILE:farcall::protoc-gen-farcall>)
  else()
    message(FATAL_ERROR "farcall_generate: set FARCALL_PROTOC_PLUGIN to protoc-gen-farcall")
  endif()
  set(${result} ${plugin} PARENT_SCOPE)
endfunction()

# Sets ${result} to the name of ${proto} below the first of the folders that holds it.
function(_farcall_import_name proto result)
  foreach(dir IN LISTS ARGN)
    file(RELATIVE_PATH name ${dir} ${proto})
    if(NOT name MATCHES "^\\.\\./" AND NOT IS_ABSOLUTE "${name}")
      set(${result} ${name} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "farcall_generate: ${proto} is in none of IMPORT_DIRS: ${ARGN}")
endfunction()

function(farcall_generate)
  cmake_parse_arguments(PARSE_ARGV 0 G "" "TARGET;TYPE;OUT_DIR" "PROTOS;IMPORT_DIRS;LINK")
  if(NOT G_TARGET OR NOT G_PROTOS OR G_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "farcall_generate(TARGET name PROTOS file... [IMPORT_DIRS dir...] "
      "[TYPE STATIC|OBJECT] [OUT_DIR dir] [LINK target...]): got ${ARGV}")
  endif()
  if(NOT G_TYPE)
    set(G_TYPE STATIC)
  endif()
  if(NOT G_TYPE MATCHES "^(STATIC|OBJECT)$")
    message(FATAL_ERROR "farcall_generate: TYPE is STATIC or OBJECT, not ${G_TYPE}")
  endif()
  foreach(proto IN LISTS G_PROTOS)
    get_filename_component(proto ${proto} ABSOLUTE)
    if(NOT EXISTS ${proto} OR IS_DIRECTORY ${proto})
      message(FATAL_ERROR "farcall_generate: PROTOS names ${proto}, which is no file")
    endif()
  endforeach()
  _farcall_find_tools()
  _farcall_plugin(plugin)
  if(NOT G_OUT_DIR)
    set(G_OUT_DIR ${CMAKE_CURRENT_BINARY_DIR}/${G_TARGET}.farcall)
  endif()
  if(NOT G_IMPORT_DIRS)
    set(G_IMPORT_DIRS ${CMAKE_CURRENT_SOURCE_DIR})
  endif()
  if(NOT G_LINK AND TARGET farcall::farcall)
    set(G_LINK farcall::farcall)
  elseif(NOT G_LINK)
    set(G_LINK farcall::static)
  endif()
  get_filename_component(G_OUT_DIR ${G_OUT_DIR} ABSOLUTE BASE_DIR ${CMAKE_CURRENT_BINARY_DIR})
  file(MAKE_DIRECTORY ${G_OUT_DIR})
  set(dirs)
  set(imports)
  foreach(dir IN LISTS G_IMPORT_DIRS)
    get_filename_component(dir ${dir} ABSOLUTE)
    list(APPEND dirs ${dir})
    list(APPEND imports -I${dir})
  endforeach()

  set(sources)
  foreach(proto IN LISTS G_PROTOS)
    get_filename_component(proto ${proto} ABSOLUTE)
    _farcall_import_name(${proto} name ${dirs})
    string(REGEX REPLACE "\\.proto(devel)?$" "" base ${name})
    set(out ${G_OUT_DIR}/${base})
    get_filename_component(folder ${out} DIRECTORY)
    file(MAKE_DIRECTORY ${folder})
    # Ours first: what it refuses it tells with file, line and column.
    set(command ${FARCALL_PROTOC} ${imports} --plugin=protoc-gen-farcall=${plugin}
      --farcall_out=${G_OUT_DIR} --dependency_out=${out}.farcall.d)
    if(FARCALL_PROTOC_C_PLUGIN)
      list(APPEND command --plugin=protoc-gen-c=${FARCALL_PROTOC_C_PLUGIN} --c_out=${G_OUT_DIR} ${name})
    else()
      list(APPEND command ${name} COMMAND ${FARCALL_PROTOC_C} ${imports} --c_out=${G_OUT_DIR} ${name})
    endif()
    set(outputs ${out}.farcall.c ${out}.farcall.h)
    # Of a file that says so protoc-gen-c makes nothing.
    file(STRINGS ${proto} silent REGEX "^[ \t]*option[ \t]*\\(pb_c_file\\)\\.no_generate[ \t]*=[ \t]*true")
    if(NOT silent)
      list(APPEND outputs ${out}.pb-c.c ${out}.pb-c.h)
    endif()
    # The first output must be the one that --dependency_out names first: it sorts them.
    add_custom_command(
      OUTPUT ${outputs}
      COMMAND ${command}
      DEPENDS ${proto} ${plugin}
      DEPFILE ${out}.farcall.d
      COMMENT "Generating ${base}.farcall.[hc] and ${base}.pb-c.[hc]"
      VERBATIM)
    list(APPEND sources ${outputs})
  endforeach()

  add_library(${G_TARGET} ${G_TYPE} ${sources})
  set_target_properties(${G_TARGET} PROPERTIES POSITION_INDEPENDENT_CODE ON LINKER_LANGUAGE C)
  target_compile_features(${G_TARGET} PRIVATE c_std_11)
  target_include_directories(${G_TARGET} PRIVATE ${G_OUT_DIR})
  # As system headers: protoc-c's X__INIT casts const away, in whoever's code it is used.
  target_include_directories(${G_TARGET} SYSTEM INTERFACE ${G_OUT_DIR})
  target_link_libraries(${G_TARGET} PUBLIC farcall::wkt ${G_LINK})
endfunction()
