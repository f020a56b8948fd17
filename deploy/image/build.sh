#!/bin/sh
# build.sh cpu|gpu: compiles the sources, then leaves out of the image what only that needs.
set -eu
cd "$(dirname "$0")/../.."
node deploy/setup/main.mjs "--$1"
npm prune --omit=dev --ignore-scripts --no-audit --no-fund
rm -rf "$BITFLEET_TOOLCHAIN"/downloads "$BITFLEET_TOOLCHAIN"/*/tensorflow/include
# The image is run by a user that owns none of it.
chmod -R a+rX . "$BITFLEET_TOOLCHAIN"
