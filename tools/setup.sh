# Makes the clone's environment and keeps it. Sourced by ./vima in the repository's root.
#   .venv            a link to .venv-a or .venv-b: the Python environment, and in it what colcon
#                    builds (the links build and install lead there)
#   .venv/.prepared  what it was made from; written last: without it an environment is not whole
#   .venv-a/.wanted  the same of one that is being made, and .venv-a/.steps what of it is finished:
#                    after an interrupt the next call goes on from there
#   .venv-train      the same with torchvision, for training
# A new environment is made beside the present one, and takes its place when it is whole and
# nothing runs from the old one.

. tools/steps.sh
. tools/environment.sh

RUN_LOCK=log/.run.lock     # fd 8: shared by all that ./vima runs, ours while .venv changes
SETUP_LOCK=log/.setup.lock # fd 9: held by the one ./vima that makes or builds something

recorded() { # ENVIRONMENT KEY: a line of its .prepared
  sed -n "s/^$2 //p" "$1/.prepared" 2>/dev/null || :
}

pins() { # ENVIRONMENT ROS: changes with the requirements, not with their comments
  local files=(requirements/torchvision.txt)
  [ "$1" = .venv-train ] || files=(requirements/{pip,colcon,base,test,train}.txt)
  [ "$1 $2" != '.venv wheels' ] || files+=(requirements/ros.txt tools/ros_wheels.py)
  sed 's/ *#.*//; /^$/d' "${files[@]}" | sha256sum | cut -c 1-16
}

usable() { # ENVIRONMENT
  [ "$(recorded "$1" clone)" = "$PWD" ] && [ -x "$1/bin/python" ] &&
    [ "$(recorded "$1" python)" = "$(recorded .venv python)" ]
}

keep_ros() { # setup|run: what is sourced in this shell must be what .venv was made over
  local made underlay
  made=$(recorded .venv ros)
  underlay=$(recorded .venv underlay)
  if [ "$1" = run ] && [ -n "$made" ] && [ -n "${ROS_DISTRO:-}" ] &&
    [ "$made" != "distribution $ROS_DISTRO" ]; then
    note ".venv has its own ROS 2 ($made); ./vima setup makes one over the sourced $ROS_DISTRO"
    forget_ros
  fi
  [ -z "${ROS_DISTRO:-}" ] && [ -n "$underlay" ] || return 0
  set +u
  . "$underlay/setup.bash" || fail "ROS 2 is gone from $underlay, and .venv was made over it" \
    "source another distribution's setup.bash, or 'make clean' for wheels; then ./vima setup"
  set -u
}

forget_ros() { # take a sourced ROS 2 out of this shell's variables
  local name prefix entry kept
  for name in PYTHONPATH LD_LIBRARY_PATH; do
    kept=
    while IFS= read -rd : entry; do
      while IFS= read -rd : prefix; do
        [[ $entry/ != "$prefix"/* ]] || continue 2
      done <<<"${AMENT_PREFIX_PATH:-}:"
      kept+=${kept:+:}$entry
    done <<<"${!name:-}:"
    export "$name=$kept"
  done
  unset AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH ROS_DISTRO ROS_VERSION
}

wanted() { # ENVIRONMENT: the .prepared it is to have
  printf 'clone %s\ntorch-index %s\n' "$PWD" "$torch_index"
  if [ "$1" = .venv ]; then
    printf 'ros %s\n' "$ros"
    [ "$ros" = wheels ] || printf 'underlay %s\n' "${AMENT_PREFIX_PATH##*:}"
    "$python" -c 'import sys; print("python %d.%d" % sys.version_info[:2])'
  else
    printf 'python %s\n' "$(recorded .venv python)"
  fi
  printf 'pins %s\n' "$(pins "$1" "${ros:-}")"
}

set_up() { # ENVIRONMENT: make it, or what is to take its place
  local name=$1 state present made users
  take_setup_lock
  torch_index=${VIMA_TORCH_INDEX-$(recorded .venv torch-index)}
  [[ $torch_index =~ ^$|:// ]] || fail "no URL: --torch-index $torch_index" \
    "give the address of a package index, such as https://… or file:///…; '' for the default"
  [ "$name" != .venv ] || choose_source
  state=$(wanted "$name")
  ! usable "$name" || [ "$(cat "$name/.prepared")" != "$state" ] || return 0
  ! [ -e "$name/.prepared" ] || ! users=$(users_of_environment) ||
    fail "$name is not up to date, but in use by $users" "end that, then $command"
  flock -u 8 # runs go on meanwhile
  present=$(readlink "$name" || :)
  folder=$name-a
  [ "$present" != "$folder" ] || folder=$name-b
  if [ "$(cat "$folder/.prepared" 2>/dev/null)" != "$state" ]; then
    if [ ! -s "$folder/.steps" ] || [ ! -x "$folder/bin/python" ] ||
      [ "$(cat "$folder/.wanted")" != "$state" ]; then
      discard "$folder"
      mkdir "$folder"
      printf '%s\n' "$state" >"$folder/.wanted"
    fi
    if [ "$name" = .venv ]; then make_main; else make_training; fi
    mv "$folder/.wanted" "$folder/.prepared"
    rm "$folder/.steps"
  fi
  made=$folder folder= steps=()
  noted=
  while [ -e "$name/.prepared" ] && users=$(users_of_environment); do
    note "the new $name is made, and waits for the end of $users"
    sleep 1
  done
  if [ "$name" = .venv ]; then
    [ -L install ] || rm -rf build install
    ln -sfn .venv/build build
    ln -sfn .venv/install install
  fi
  if [ -e "$name" ] && [[ $present != "$name"-[ab] ]]; then # an earlier version's, or a user's own
    mv --backup=numbered -T "$name" "$name-before"
    present=$name-before
    [ -e "$present/.prepared" ] || note "$name, which ./vima had not made, is now $name-before"
  fi
  ln -sfn "$made" "$name.new"
  mv -T "$name.new" "$name"
  [ ! -e "$present/.prepared" ] || discard "$present"
}

discard() { # FOLDER; what says what it is goes first, for this may be interrupted
  rm -f "$1"/.{prepared,steps}
  rm -rf "$1"
}

users() { # PREFIX: what runs from there or shares the lock on fd 8, as "COMMAND (PID), …"
  local pid pids words line found=
  pids=$({ grep -lsaz "^$1" /proc/[0-9]*/cmdline
    grep -lsF "$1" /proc/[0-9]*/maps
    [ -z "${2:-}" ] || find /proc/[0-9]*/fd/8 -lname "$PWD/$RUN_LOCK" 2>/dev/null; } 8<&- |
    cut -d / -f 3 8<&- | sort -un 8<&-) || :
  for pid in $pids; do
    [ "$pid" != $$ ] && [ "$pid" != "$BASHPID" ] || continue
    mapfile -d '' words 2>/dev/null <"/proc/$pid/cmdline" && [ "${#words[@]}" != 0 ] || continue
    line="${words[*]##*/}"
    line=${line//[^[:print:]]/ }
    found+="${found:+, }${line:0:40} ($pid)"
  done
  printf %s "$found"
}

# What runs from .venv or .venv-train; where nothing does, fails, holding the lock on runs.
users_of_environment() {
  local found
  found=$(users "$PWD/.venv")
  [ -n "$found" ] || ! flock -n 8 || return 1
  users "$PWD/.venv" and_lock
}

changed_packages() { # or whose build is gone, as by rm -rf install/*
  local package
  for package in vima_msgs vima_ros; do
    [ -d ".venv/install/$package" ] && [ -f .venv/install/setup.bash ] &&
      [ "$(cat ".venv/install/.$package" 2>/dev/null)" = "$(sources_state $package)" ] ||
      echo $package
  done
}

build_changed() { # setup|run: a run goes on with what is built where it can't be built now
  local package users
  [ -n "$(changed_packages)" ] || return 0
  if [ ! -w .venv/install ] && ! mkdir .venv/install 2>/dev/null; then
    [ "$1" = run ] || fail "$PWD is not yours to write" "let its owner run ./vima setup"
    note "sources changed since they were built; used as built: $PWD is not yours to write"
    return
  fi
  take_setup_lock
  ros=$(recorded .venv ros)
  users=$(users "$PWD/$(readlink .venv)/install/")
  if [ -n "$users" ]; then
    [ "$1" = run ] || fail "sources changed, but in use: $users" "end that, then ./vima setup"
    note "sources changed since they were built; used as built while there is $users"
    return
  fi
  for package in $(changed_packages); do
    build_package "$(readlink .venv)" "$package"
  done
}

restore_links() { # to what is built, after rm -rf build install
  local name
  for name in build install; do
    [ -e "$name" ] || [ -L "$name" ] || ln -sT ".venv/$name" "$name" 2>/dev/null || :
  done
}

require_program() { # NAME, or exec
  local programs=.venv/install/vima_ros/lib/vima_ros
  [ "$1" != exec ] || return 0
  [[ $1 == */* ]] || [ ! -f "$programs/$1" ] || [ ! -x "$programs/$1" ] || return 0
  printf 'vima: no program %s; there are: %s\n' "$1" "$(ls "$programs" | tr '\n' ' ')" >&2
  exit 2
}

take_setup_lock() {
  [ -z "${setup_locked:-}" ] || return 0
  flock -u 8 # who waits uses nothing
  { exec 9>"$SETUP_LOCK"; } 2>/dev/null ||
    fail "$PWD is not yours to write" "let its owner run ./vima setup, or clone it anew"
  flock -n 9 || { note "waits for another ./vima that sets up or builds here" && flock 9; }
  setup_locked=yes
}

prepare() { # setup|run ENVIRONMENT…; for a run, `program` is what is to run
  local mode=$1 name command="./vima setup"
  [ $# = 2 ] || command="./vima --train setup"
  [ "$(printf %s "$PWD" | LC_ALL=C tr -d 'A-Za-z0-9/._+@-' | wc -c)" = 0 ] ||
    fail "ROS 2's build tools fail in a folder of such a name: $PWD" \
      "move the clone to a path of English letters, digits and . _ - + @"
  unset PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX # of another environment
  { mkdir -p log && touch "$RUN_LOCK"; } 2>/dev/null || :
  if [ -w "$RUN_LOCK" ]; then
    exec 8<>"$RUN_LOCK"
  elif [ -r "$RUN_LOCK" ]; then
    exec 8<"$RUN_LOCK"
  else
    exec 8<vima # nothing can be changed here
  fi
  flock -s 8
  keep_ros "$mode"
  for name in "${@:2}"; do
    if [ "$mode" = setup ] || [ ! -e "$name/.prepared" ]; then
      [ "$mode $name" != "run .venv-train" ] || [ -n "$(changed_packages)" ] ||
        require_program "$program" # before minutes are spent
      set_up "$name"
    else
      usable "$name" || fail \
        "$name was made for another folder, another Python or by an earlier version" "$command"
      [ "$(recorded "$name" pins)" = "$(pins "$name" "$(recorded .venv ros)")" ] ||
        note "requirements/ changed since $name was made; $command brings it up to date"
    fi
  done
  build_changed "$mode"
  restore_links
  flock -s 8
  exec 9>&-
}
