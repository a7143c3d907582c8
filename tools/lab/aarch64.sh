# SPDX-License-Identifier: Apache-2.0
#
# What the lab must know about an aarch64 host; see x86_64.sh.

lab_qemu=qemu-system-aarch64
lab_packages=(aarch64)

# A processor with EL2, which Debian's kernel starts at, so that its KVM, which is
# built in, runs guests in hardware's way. Pointer authentication by the
# architecture's own algorithm would take half of the emulation's time.
lab_machine=(-M virt,virtualization=on,gic-version="$lab_gic" -cpu max,pauth-impdef=on,sme=off)
lab_kernel_args="console=ttyAMA0"

lab_kvm_modules=()
