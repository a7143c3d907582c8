# SPDX-License-Identifier: Apache-2.0
#
# What the lab must know about an x86_64 host: how QEMU's software emulation
# makes a machine with hardware virtualisation, and what drives it. A file like
# this one, named as uname -m says, is all that another architecture needs.

lab_qemu=qemu-system-x86_64
lab_packages=()  # beside those of every lab

# EPYC with SVM and nested paging, which TCG emulates. The time stamp counter
# ticks alike on all emulated CPUs, but TCG cannot announce that (invtsc): the
# kernel is told instead, or it would spend time on finding out, and fall back
# to a clock source that costs an exit a read.
lab_machine=(-M pc,hpet=off,vmport=off -cpu EPYC,+svm)
lab_kernel_args="console=ttyS0 tsc=reliable no_timer_check"

lab_kvm_modules=(kvm_amd)
