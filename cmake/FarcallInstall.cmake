# What is installed: headers, both libraries, farcall_wkt, the plugin, the CMake package and the
# files of pkg-config. The tree may be moved afterwards: nothing in it knows its place.
#
# Whoever adds a dependency to the library also adds it to farcallConfig.cmake.in and farcall.pc.in.
include(CMakePackageConfigHelpers)

set(FARCALL_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/farcall)
set(FARCALL_WKT_INCLUDE ${CMAKE_INSTALL_INCLUDEDIR}/farcall/wkt)

install(DIRECTORY include/farcall DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
# In a folder of their own, which the targets and pkg-config name: include <google/protobuf/…>.
foreach(name any duration empty field_mask struct timestamp wrappers)
  install(FILES generated/google/protobuf/${name}.pb-c.h
    DESTINATION ${FARCALL_WKT_INCLUDE}/google/protobuf)
endforeach()
target_include_directories(farcall_wkt PUBLIC $<INSTALL_INTERFACE:${FARCALL_WKT_INCLUDE}>)

set(targets farcall_wkt)
set_target_properties(farcall_wkt PROPERTIES EXPORT_NAME wkt)
if(FARCALL_SHARED)
  list(APPEND targets farcall)
endif()
if(FARCALL_STATIC)
  list(APPEND targets farcall_static)
  set_target_properties(farcall_static PROPERTIES EXPORT_NAME static)
endif()
if(FARCALL_PLUGIN)
  list(APPEND targets protoc-gen-farcall)
endif()
install(TARGETS ${targets} EXPORT farcall)
install(EXPORT farcall NAMESPACE farcall:: FILE farcallTargets.cmake DESTINATION ${FARCALL_CMAKE_DIR})

configure_package_config_file(cmake/farcallConfig.cmake.in farcallConfig.cmake
  INSTALL_DESTINATION ${FARCALL_CMAKE_DIR})
# 0.x: each minor version may break.
write_basic_package_version_file(farcallConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/farcallConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/farcallConfigVersion.cmake
  cmake/FarcallGenerate.cmake
  DESTINATION ${FARCALL_CMAKE_DIR})

# pkg-config's paths are told from where its file lies.
set(FARCALL_PC_DIR ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
foreach(dir LIBDIR INCLUDEDIR BINDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
    set(FARCALL_PC_${dir} ${CMAKE_INSTALL_${dir}})
  else()
    set(FARCALL_PC_${dir} \${prefix}/${CMAKE_INSTALL_${dir}})
  endif()
endforeach()
if(IS_ABSOLUTE "${FARCALL_PC_DIR}")
  set(FARCALL_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
else()
  file(RELATIVE_PATH up /${FARCALL_PC_DIR} /)
  string(REGEX REPLACE "/$" "" up ${up})
  set(FARCALL_PC_PREFIX \${pcfiledir}/${up})
endif()
# Without a shared library everybody links the static one, and all that it needs.
if(NOT FARCALL_SHARED)
  set(FARCALL_PC_STATIC_REQUIRES " libuv zlib jansson")
  set(FARCALL_PC_STATIC_LIBS " -pthread")
endif()
foreach(name farcall farcall-wkt)
  configure_file(cmake/${name}.pc.in ${name}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc DESTINATION ${FARCALL_PC_DIR})
endforeach()
