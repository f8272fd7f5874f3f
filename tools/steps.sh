# The steps of a set-up: numbered, their output in logs, two at a time. Sourced by tools/setup.sh.
# Each runs in a session of its own, so that it can be ended with all that it has started.

SETUP_LOG=log/setup.log
BESIDE_LOG=log/setup-beside.log # of what runs beside the other steps
steps=()                        # of this set-up, in the order in which they begin
folder=                         # what it makes; its .steps lists those that are finished
beside=                         # the one that runs beside the others

fail() { # WHAT HINT
  printf 'vima: %s\n  what to do: %s\n' "$1" "$2" >&2
  exit 1
}

note() { # SENTENCE: only the first of a run
  [ -n "${noted:-}" ] || printf 'vima: %s\n' "$1" >&2
  noted=yes
}

number() { # STEP: as "[2/5] ", where it is one of a set-up's
  local i
  for i in "${!steps[@]}"; do
    [ "${steps[i]}" != "$1" ] || printf '[%d/%d] ' $((i + 1)) "${#steps[@]}"
  done
}

announce() { # STEP HOW
  printf 'vima: %s%s%s' "$(number "$1")" "$1" "$2" >&2
}

finished() { # STEP: before an interrupt
  [ -n "$(number "$1")" ] && grep -qsxF "$1" "$folder/.steps"
}

timed() { # COMMAND…
  local begin=$SECONDS
  "$@"
  printf '%d s\n' $((SECONDS - begin))
}

begin_step() { # LOG COMMAND…: a command or a function of tools/; sets `job`
  trap 'end_steps; interrupted 130' INT
  trap 'end_steps; interrupted 143' TERM
  trap 'end_steps; interrupted 129' HUP
  trap end_steps EXIT
  ros=${ros:-} torch_index=${torch_index:-} setsid bash -euo pipefail -c '
    . tools/setup.sh; timed "$@"' vima "${@:2}" >"$1" 2>&1 </dev/null &
  job=$!
}

finish_step() { # STEP HINT LOG JOB
  local hint=$2
  if wait "$4"; then
    tail -n 1 "$3" >&2
    [ -z "$(number "$1")" ] || printf '%s\n' "$1" >>"$folder/.steps"
    return
  fi
  end_steps "$4"
  if grep -qsiE 'no space left|quota exceeded' "$3" ||
    [ "$(df -k --output=avail . | tail -n 1)" -lt 50000 ]; then
    hint="make room in $PWD and in ${TMPDIR:-/tmp}, then run this again (sizes: README.md)"
  fi
  printf '\n  the end of %s:\n' "$3" >&2
  tail -n 15 "$3" | sed 's/^/    /' >&2
  fail "set-up failed at: $1" "$hint"
}

step() { # STEP HINT COMMAND…: waits for its end, and says how long it took
  if finished "$1"; then
    announce "$1" $': finished before\n'
    return
  fi
  announce "$1" ' … '
  begin_step "$SETUP_LOG" "${@:3}"
  finish_step "$1" "$2" "$SETUP_LOG" "$job"
}

begin_beside() { # STEP COMMAND…
  if finished "$1"; then
    announce "$1" $': finished before\n'
    return
  fi
  announce "$1" $': begins, beside what follows\n'
  begin_step "$BESIDE_LOG" "${@:2}"
  beside=$job
}

finish_beside() { # STEP HINT
  [ -n "$beside" ] || return 0
  announce "$1" ' … '
  finish_step "$1" "$2" "$BESIDE_LOG" "$beside"
  beside=
}

end_steps() { # [JOB THAT FAILED]: with all they started; what does not end within 10 s is killed
  local jobs tries=200
  jobs=$(printf '%s\n' $(jobs -pr) "$@")
  signal_steps TERM
  wait 2>/dev/null || :
  while any_runs; do
    [ $((tries--)) != 0 ] || signal_steps KILL
    sleep 0.05
  done
}

signal_steps() { # SIGNAL: to the sessions of `jobs`; to a job itself, where it has none yet
  local job
  for job in $jobs; do
    kill -s "$1" -- "-$job" "$job" 2>/dev/null || :
  done
}

any_runs() { # of the sessions of `jobs`: not a zombie, which waits for an init to reap it
  [ -n "$jobs" ] && grep -qsE "\) [^ZX] [0-9]+ [0-9]+ (${jobs//$'\n'/|}) " /proc/[0-9]*/stat
}

interrupted() { # STATUS
  trap - EXIT
  printf '\nvima: interrupted; the same command goes on from here\n' >&2
  exit "$1"
}
