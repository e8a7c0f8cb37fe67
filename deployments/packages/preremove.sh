#!/bin/sh
# Stops the service when the package is removed, not when it is upgraded. The data in
# /var/lib/portcullis stays.
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now "$DPKG_MAINTSCRIPT_PACKAGE.service" # of the same name
fi
