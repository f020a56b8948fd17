#!/bin/sh
# install.sh cpu|gpu: the packages, libtensorflow, the addon and nats-server, by the same set-up that
# a clone uses. Its flag --for-tests leaves the compiling of the sources to build.sh.
set -eu
cd "$(dirname "$0")/../.."
exec node deploy/setup/main.mjs "--$1" --for-tests
