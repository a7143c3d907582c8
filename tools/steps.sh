# SPDX-License-Identifier: Apache-2.0
#
# Steps of a long command, with their progress: sourced by tools/quickstart and tools/check.
#
# A step's output goes to a log. On a terminal the log's last line is shown while the step runs;
# when it fails, the end of the log is shown and the step's status is the result.

steps_logs=$(mktemp -d -t husk-steps.XXXXXX)

# say TEXT: a line of our own, told apart from the output of what we run.
say() {
    printf '==> %s\n' "$*"
}

# Shows the last line of a growing log on one line of the terminal until killed.
steps_follow() {
    local width
    width=$(tput cols 2>/dev/null || echo 80)
    while sleep 0.5; do
        printf '\r\033[K    %s' "$(tail -n 1 "$1" | tr -d '\r\033' | cut -c "1-$((width - 6))")"
    done
}

# step NAME COMMAND...: runs the command, says how long it took and whether it failed.
step() {
    local name=$1 start=$SECONDS status=0 log follower=
    shift
    log=$steps_logs/${name//[^a-zA-Z0-9]/-}.log
    say "$name ..."
    : > "$log"
    if [ -t 1 ]; then
        steps_follow "$log" &
        follower=$!
    fi
    "$@" > "$log" 2>&1 < /dev/null || status=$?
    if [ -n "$follower" ]; then
        kill "$follower" 2>/dev/null
        wait "$follower" 2>/dev/null || true
        printf '\r\033[K'
    fi
    if [ "$status" = 0 ]; then
        say "$name: done in $((SECONDS - start)) s"
    else
        say "$name: FAILED after $((SECONDS - start)) s (status $status); the end of its log:"
        tail -n 60 "$log" | sed 's/^/    /'
    fi
    return "$status"
}
