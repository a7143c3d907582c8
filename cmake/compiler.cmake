# SPDX-License-Identifier: Apache-2.0
# Warnings, hardening and sanitizers, the same for every target.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O2")

add_compile_definitions(_GNU_SOURCE)
add_compile_options(-Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes
                    -Wvla -Wformat=2 -Wundef -fno-common -fno-strict-aliasing)

if(CMAKE_C_COMPILER_ID STREQUAL Clang)
    # KVM's structures end in flexible arrays, and are made with room behind them.
    add_compile_options(-Wno-gnu-variable-sized-type-not-at-end)
endif()

if(HUSK_FUZZ)
    # Every layer tells libFuzzer where it has been, not only the targets.
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()

if(HUSK_SANITIZE)
    add_compile_options(-fsanitize=${HUSK_SANITIZE} -fno-sanitize-recover=all
                        -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${HUSK_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL Release)
    add_compile_definitions(_FORTIFY_SOURCE=2)
    add_compile_options(-fstack-protector-strong -fstack-clash-protection)
    if(CMAKE_SYSTEM_PROCESSOR STREQUAL aarch64) # what both do: jumps only to where they may land
        add_compile_options(-mbranch-protection=standard)
    else()
        add_compile_options(-fcf-protection)
    endif()
endif()

if(CMAKE_BUILD_TYPE STREQUAL Release)
    # Nothing is thrown or cancelled through this code, and tables to unwind it are a tenth of it.
    add_compile_options(-ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables)
    add_link_options(-pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--gc-sections
                     -Wl,--as-needed -Wl,--hash-style=gnu)
endif()
