#!/bin/sh
# Runs the tests of the bundle; JUNIT: where the results go as XML.
set -eu
exec ${CEDARGATE:-npx --yes cedargate} policy test --junit "${JUNIT:-policy-tests.xml}" "${BUNDLE:-.}"
