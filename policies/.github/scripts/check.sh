#!/bin/sh
# Everything that is wrong with the bundle, as annotations on the lines of the pull request. A warning fails too.
set -eu
exec ${CEDARGATE:-npx --yes cedargate} policy check --format github --warnings-as-errors "${BUNDLE:-.}"
