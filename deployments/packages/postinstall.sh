#!/bin/sh
# Makes the service's user and tells systemd of the unit. It starts nothing: settings
# come first. What runs already goes on with the old program until it is restarted.
set -e
if command -v systemd-sysusers >/dev/null; then
  systemd-sysusers
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
