# In place of farcallTargets.cmake: what an install without the shared library has.
get_filename_component(lib ${CMAKE_CURRENT_LIST_DIR}/../.. ABSOLUTE)
set(prefix ${lib})
while(NOT EXISTS ${prefix}/include)
  get_filename_component(prefix ${prefix} DIRECTORY)
endwhile()
set(include ${prefix}/include)
file(GLOB plugin ${prefix}/bin/protoc-gen-farcall*)
add_library(farcall::static STATIC IMPORTED)
set_target_properties(farcall::static PROPERTIES IMPORTED_LOCATION ${lib}/libfarcall.a
  INTERFACE_INCLUDE_DIRECTORIES ${include} INTERFACE_COMPILE_DEFINITIONS FARCALL_STATIC
  INTERFACE_LINK_LIBRARIES "PkgConfig::PROTOBUF_C;PkgConfig::LIBUV;PkgConfig::ZLIB;PkgConfig::JANSSON;Threads::Threads")
add_library(farcall::wkt STATIC IMPORTED)
set_target_properties(farcall::wkt PROPERTIES IMPORTED_LOCATION ${lib}/libfarcall_wkt.a
  INTERFACE_INCLUDE_DIRECTORIES ${include}/farcall/wkt
  INTERFACE_LINK_LIBRARIES PkgConfig::PROTOBUF_C)
add_executable(farcall::protoc-gen-farcall IMPORTED)
set_target_properties(farcall::protoc-gen-farcall PROPERTIES IMPORTED_LOCATION ${plugin})
