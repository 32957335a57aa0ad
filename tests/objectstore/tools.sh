#!/usr/bin/env bash
# Builds a stand-in for Google Cloud Storage from its Go module, into a cache folder. Does nothing where it is there already.
# Prints the program.
set -euo pipefail

FAKE_GCS_SERVER=v1.56.1
# What the module asks for.
GO=1.26.0

. "$(dirname "${BASH_SOURCE[0]}")/../servers/go.sh"
program="$cache/fake-gcs-server-$FAKE_GCS_SERVER"
if [ ! -x "$program" ]; then
  go=$(go_command "$GO")
  echo "Building fake-gcs-server $FAKE_GCS_SERVER (once)" >&2
  built=$(mktemp -d -p "$cache")
  GOBIN="$built" "$go" install -trimpath -ldflags '-s -w' "github.com/fsouza/fake-gcs-server@$FAKE_GCS_SERVER" >&2
  mv "$built/fake-gcs-server" "$program"
  rmdir "$built"
fi
echo "$program"
