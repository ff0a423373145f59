#!/bin/sh
# Fails when a policy file is laid out otherwise than `cedargate policy fmt` does. BUNDLE: its directory.
# CEDARGATE: the command, which may have words of its own; so it stands unquoted.
set -eu
exec ${CEDARGATE:-npx --yes cedargate} policy fmt --check "${BUNDLE:-.}"
