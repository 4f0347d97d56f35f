#!/bin/sh
# --- Start MAAS 1.0 script metadata ---
# name: memtester
# title: Memory integrity
# description: Writes patterns to the memory that is free, and reads them back.
# script_type: testing
# hardware_type: memory
# tags: [memory]
# timeout: 08:00:00
# --- End MAAS 1.0 script metadata ---
free=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
# A part stays for the programs.
exec memtester "$((free - free / 10 - 32))M" 1
