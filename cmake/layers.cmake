# SPDX-License-Identifier: Apache-2.0
# The layering, as include paths.
#
# A folder is included by its name ("core/loop.h", "devices/virtio/queue.h"), and a layer's
# include path is a folder of links to exactly what that layer may see. What is not linked there
# cannot be included. tests/layering checks the sources themselves as well.
#
#   tools -> husk.h;  sandbox -> husk.h, agent, core;  vmm -> arch, firmware, devices, core;
#   arch, firmware, devices -> core;  agent -> itself

function(husk_layer name)
    set(view ${CMAKE_BINARY_DIR}/layers/${name})
    file(MAKE_DIRECTORY ${view})
    foreach(folder IN LISTS ARGN)
        get_filename_component(leaf ${folder} NAME)
        file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${folder} ${view}/${leaf} SYMBOLIC)
    endforeach()
endfunction()

# husk_library(NAME LAYER SOURCES...): a static library that sees what LAYER may see.
function(husk_library name layer)
    add_library(${name} STATIC ${ARGN})
    target_include_directories(${name} PRIVATE ${CMAKE_BINARY_DIR}/layers/${layer})
endfunction()

husk_layer(core vmm/core)
husk_layer(arch vmm/core arch)
husk_layer(firmware vmm/core firmware)
husk_layer(devices vmm/core devices)
husk_layer(vmm vmm/core arch firmware devices vmm)
husk_layer(agent agent)
husk_layer(sandbox vmm/husk.h vmm/core agent sandbox)
husk_layer(tools vmm/husk.h)
