# Finds Go for the scripts that build what tests need from Go modules. To be sourced: sets `cache`, the folder to build
# into, and gives `go_command`. Modules come by the machine's own Go settings; flags of its user's do not count.

cache="${XDG_CACHE_HOME:-$HOME/.cache}/penstock-tests"
mkdir -p "$cache"
unset GOFLAGS GOBIN

# go_command VERSION: prints a Go of at least this version. Where there is none, it is installed from Debian; an older one
# fetches it as a module.
go_command() {
  local wanted=$1 go machine
  if ! command -v go >/dev/null; then
    if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
      echo "Go is missing: install it with this system's package manager (Debian: apt-get install golang-go)." >&2
      exit 1
    fi
    DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends golang-go ca-certificates >&2
  fi
  go=$(command -v go)
  if printf '%s\n' "go$wanted" "$(go env GOVERSION)" | sort --version-sort --check=quiet; then
    echo "$go"
    return
  fi
  # A Go before 1.21 does not know how to fetch its successor, which is a module like any other.
  machine="$(go env GOOS)-$(go env GOARCH)"
  (cd "$cache" && go mod download "golang.org/toolchain@v0.0.1-go$wanted.$machine") >&2
  go="$(go env GOMODCACHE)/golang.org/toolchain@v0.0.1-go$wanted.$machine"
  # Modules hold no permissions to execute.
  chmod -R u+w "$go"
  find "$go/bin" "$go/pkg/tool" -type f -exec chmod +x {} +
  echo "$go/bin/go"
}
