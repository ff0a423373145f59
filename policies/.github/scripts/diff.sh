#!/bin/sh
# Decisions of the tests that come out otherwise than at the revision COMPARE; exits 5 when there are some.
set -eu
exec ${CEDARGATE:-npx --yes cedargate} policy diff "$COMPARE" . "${BUNDLE:-.}"
