# SPDX-License-Identifier: Apache-2.0
# cpack -G DEB: one package with the command, the library and what is needed to build against it.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME husk)
set(CPACK_PACKAGE_VENDOR Husk)
set(CPACK_PACKAGE_CONTACT "Husk <husk@husk.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "microVM monitor for Linux KVM, and its library")
set(CPACK_PACKAGE_DESCRIPTION
    "Husk runs unmodified Linux kernels in small virtual machines: one command, a start in
milliseconds, and a library (libhusk) for programs that make machines themselves.")
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/package)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION misc)
# Sandboxes: mke2fs packs a root into an image, virtiofsd shares a folder live.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "e2fsprogs, virtiofsd | qemu-system-common")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON) # and with it the trigger of ldconfig
include(CPack)
