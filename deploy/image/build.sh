#!/bin/sh
# build.sh cpu|gpu: compiles the sources, then leaves out of the image what only that needs.
set -eu
cd "$(dirname "$0")/../.."
node deploy/setup/main.mjs "--$1"
npm prune --omit=dev --ignore-scripts --no-audit --no-fund
# The S3 server is there for the tests.
rm -rf "$BITFLEET_TOOLCHAIN"/downloads "$BITFLEET_TOOLCHAIN"/*/tensorflow/include "$BITFLEET_TOOLCHAIN"/moto-*
# Of the packages: source maps, types, TensorFlow.js' tests and its bundles for browsers (Node loads *.node.js).
find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete
find node_modules/@tensorflow -type f \( -name '*_test.js' -o -name '*.min.js' -o -name '*.min.js.html' \
  -o -name 'tf*.es2017.js' -o -name 'tf*.fesm.js' -o -regex '.*/dist/tf[a-z-]*\.js' \) -delete
# What is in the image, for those who have to know.
node deploy/image/sbom.mjs "$1" >sbom.cdx.json
# The image is run by a user that owns none of it.
chmod -R a+rX . "$BITFLEET_TOOLCHAIN"
