# shellcheck shell=bash
# What try-image, try-nginx and try-systemd share; they source this file.

set -euo pipefail
export LC_ALL=C.UTF-8
# shellcheck disable=SC2034  # the scripts go there
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
KEY=sk-try-key

# Exported, since the script continues in a world of its own, and goes on counting there.
export BEGAN=${BEGAN-$EPOCHSECONDS} FACTS=${FACTS-0}
fact() {
    printf 'ok    %s\n' "$*"
    FACTS=$((FACTS + 1))
}
note() { printf '      %s\n' "$*"; }
fail() {
    printf 'FAIL  %s\n' "$*" >&2
    exit 1
}

passed() { printf '%d passed, 0 failed, in %d s\n' "$FACTS" $((EPOCHSECONDS - BEGAN)); }

# needs COMMAND=PACKAGE ...: install the packages of the commands that are missing.
needs() {
    local pair said missing=()
    for pair; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || fail "no apt-get here; install ${missing[*]}"
    note "installing ${missing[*]}"
    said=$(install_packages "${missing[@]}" 2>&1) ||
        fail "apt-get install ${missing[*]}: $(tail -5 <<<"$said")"
}

# A subshell, so that the lock and the policy end with it.
install_packages() (
    # One script at a time: apt-get does not wait for another apt-get.
    exec 9<"$ROOT/deploy/trying.sh"
    flock 9
    # A server among them must not start on this machine. Debian's packages ask this file.
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # A source that is out of reach may not be needed: `install` will show it.
    apt-get -qq -o Acquire::Retries=3 update || true
    DEBIAN_FRONTEND=noninteractive nice apt-get -qq -o Acquire::Retries=3 install \
        --yes --no-install-recommends "$@"
    # Nor at the next boot: Debian's package has enabled it for that.
    for server in nginx haproxy redis-server; do
        if [[ " $* " == *" $server "* ]]; then
            update-rc.d "$server" disable
        fi
    done
)

# Gives the command that follows it mounts, processes and a loopback of its own: every port is free,
# /etc may be changed, and however the command ends, all that it started and mounted is gone then.
# shellcheck disable=SC2016  # expanded by the inner shell
a_world_of_its_own=(
    unshare --mount --net --pid --fork --kill-child --mount-proc
    bash -c 'ip link set lo up && IN_A_WORLD=yes exec "$0" "$@"'
)

as_root() {
    [[ $(id -u) == 0 ]] || fail "needs root, for namespaces and mounts: sudo $0"
}

# readme_lines MARK [FILE]: the commands of deploy/README.md, or of FILE, below the comment
# <!-- MARK -->, one on each line.
readme_lines() {
    sed -n "/^<!-- $1 -->\$/,/^\`\`\`\$/ { /^<!--\|^\`\`\`/!p }" "$ROOT/${2:-deploy/README.md}" |
        sed -z 's/ *\\\n */ /g'
}

# within SECONDS COMMAND...: repeat the command until it succeeds; fail if it does not in time.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}

# equal WHAT EXPECTED FOUND
equal() {
    [[ $2 == "$3" ]] || fail "$1: expected '$2', found '$3'"
    fact "$1: $3"
}

# holds WHAT TEXT PATTERN: TEXT matches the extended regular expression.
holds() {
    grep -Eq -- "$3" <<<"$2" || fail "$1: no /$3/ in: ${2:0:600}"
    fact "$1"
}

# chat URL PROMPT [CURL OPTION...]: a whole answer. streamed: the answer as it arrives.
chat() { ask false "$@"; }
streamed() { ask true "$@"; }
ask() {
    local stream=$1 url=$2 prompt=$3
    shift 3
    curl --silent --show-error --no-buffer --noproxy '*' --max-time 60 \
        --header "Authorization: Bearer $KEY" --header 'Content-Type: application/json' \
        --data "{\"model\": \"gpt-4\", \"stream\": $stream,
                 \"messages\": [{\"role\": \"user\", \"content\": \"$prompt\"}]}" \
        "$@" "$url/v1/chat/completions"
}

get() { curl --silent --show-error --noproxy '*' --max-time 10 "$@"; }

# stamped: the lines of stdin that are not empty, each behind the time at which it came.
stamped() {
    local line
    while IFS= read -r line; do
        [[ -z $line ]] || printf '%s %s\n' "$EPOCHREALTIME" "$line"
    done
}

# arrived_one_by_one WHAT STAMPED: the chunks of a reply came as the bot wrote them.
arrived_one_by_one() {
    local what=$1 counted
    counted=$(awk '
        $2 == "data:" { n++; if (n == 1) first = $1; else { gap = $1 - last; if (gap > widest) widest = gap }
                        last = $1; if ($3 == "[DONE]") done = 1 }
        END { printf "%d %.2f %.2f %d", n, last - first, widest, done }' <<<"$2")
    read -r chunks span widest finished <<<"$counted"
    [[ $finished == 1 ]] || fail "$what: no [DONE]; $(tail -3 <<<"$2")"
    awk -v n="$chunks" -v span="$span" -v widest="$widest" \
        'BEGIN { exit !(n >= 15 && span >= 1 && widest <= span / 3) }' ||
        fail "$what: $chunks chunks in $span s, the longest silence $widest s: held back"
    fact "$what: $chunks chunks over $span s, longest silence $widest s"
}

# milliseconds COMMAND...: the time until the command first succeeds.
milliseconds() {
    local began=${EPOCHREALTIME/./}
    within 30 "$@" || return 1
    echo $(((${EPOCHREALTIME/./} - began) / 1000))
}

# memory_of PID: the megabytes of a process and its children, with shared pages counted once.
memory_of() {
    local pid sum=0 pss
    for pid in "$1" $(pgrep -P "$1"); do
        pss=$(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup")
        sum=$((sum + pss))
    done
    echo $((sum / 1024))
}
