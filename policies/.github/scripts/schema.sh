#!/bin/sh
# Fails when the schema that editors read is not the one the reviewed tools make.
set -eu
exec ${CEDARGATE:-npx --yes cedargate} policy schema --check "${BUNDLE:-.}"
