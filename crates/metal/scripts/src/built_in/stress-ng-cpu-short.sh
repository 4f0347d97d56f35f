#!/bin/sh
# --- Start MAAS 1.0 script metadata ---
# name: stress-ng-cpu-short
# title: CPU validation
# description: Keeps every processor busy with checked arithmetic.
# script_type: testing
# hardware_type: cpu
# tags: [cpu]
# timeout: 00:10:00
# parameters:
#   runtime: {type: runtime, min: 10, max: 500, default: 60, argument_format: '{input}'}
# --- End MAAS 1.0 script metadata ---
exec stress-ng --cpu 0 --cpu-method all --verify --metrics-brief --tz --timeout "${1:-60}s"
