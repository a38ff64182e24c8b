# The libraries that users link: farcall (shared) and farcall_static, from the same objects.
# farcall_any is the one to link inside this build: static if there is one.
function(farcall_library target type)
  add_library(${target} ${type} $<TARGET_OBJECTS:farcall_objects>)
  set_target_properties(${target} PROPERTIES OUTPUT_NAME farcall LINKER_LANGUAGE C)
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${target} PUBLIC PkgConfig::PROTOBUF_C
    PRIVATE PkgConfig::LIBUV PkgConfig::ZLIB PkgConfig::JANSSON Threads::Threads)
endfunction()

if(FARCALL_SHARED)
  farcall_library(farcall SHARED)
  set_target_properties(farcall PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0)
  if(UNIX AND NOT APPLE AND NOT FARCALL_SANITIZE)
    target_link_options(farcall PRIVATE -Wl,--gc-sections)
  endif()
  add_library(farcall::farcall ALIAS farcall)
  set(farcall_any farcall)
endif()
if(FARCALL_STATIC)
  farcall_library(farcall_static STATIC)
  add_library(farcall::static ALIAS farcall_static)
  target_compile_definitions(farcall_static INTERFACE FARCALL_STATIC)
  set(farcall_any farcall_static)
endif()
