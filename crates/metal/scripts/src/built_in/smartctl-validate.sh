#!/bin/sh
# --- Start MAAS 1.0 script metadata ---
# name: smartctl-validate
# title: Storage status
# description: Asks a disk whether it expects to fail (SMART).
# script_type: testing
# hardware_type: storage
# parallel: instance
# tags: [storage]
# timeout: 00:05:00
# parameters:
#   storage: {type: storage, argument_format: '{path}'}
# --- End MAAS 1.0 script metadata ---
device=$1
report=$(smartctl --info --health "$device" 2>&1)
code=$?
echo "$report"
case $report in
*"device lacks SMART"* | *"Unable to detect device type"* | *"Unavailable"*)
    echo "status: skipped" >"$RESULT_PATH"
    exit 0
    ;;
esac
# smartctl(8), exit status: 1 and 2: it could not be asked; 8: it is failing.
if [ $((code & 11)) -ne 0 ]; then
    exit 1
fi
