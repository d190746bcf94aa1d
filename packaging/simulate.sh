#!/usr/bin/env bash
# simulate.sh [SEEDS]: the random tests over so many seeds (1000), optimised: worlds, cut links, power cuts of the store, lives of
# JetStream.
# Shows how far it is on a terminal. PETIOLE_SEED=n runs one seed.
set -euo pipefail
cd "$(dirname "$0")/.."
packaging/setup-build.sh build
echo "simulate: building the tests, optimised"
swift build -c release -Xswiftc -enable-testing --build-tests --manifest-cache none --scratch-path .build-simulate
if [ -t 2 ]; then export PETIOLE_PROGRESS=/dev/tty; fi
# Tables in one order, so that a seed replays what it found.
SWIFT_DETERMINISTIC_HASHING=1 PETIOLE_SEEDS=${1:-1000} nice .build-simulate/release/petiolePackageTests.xctest --testing-library swift-testing \
  --filter 'SimulationTests|CrashTests'
