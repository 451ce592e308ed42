#!/bin/bash
# Collects Caffe, Python, the modules that the project's tools import and every library they need
# but CUDA's in one folder. Runs in the Dockerfile's bundle stage.
#
#   pack.sh CAFFE CUDA WHEEL_LIST CV2 DESTINATION
#
# CAFFE is its built source, CUDA the toolkit, WHEEL_LIST docker/cuda-wheels.txt, CV2 a folder that
# the OpenCV wheel is installed in, DESTINATION the folder to make; all of them absolute.

set -euo pipefail

caffe=$1 cuda=$2 wheels=$3 cv2=$4 destination=$5
here=$(dirname "$(readlink -f "$0")")
modules=lib/python3/dist-packages

packages=(python3-numpy python3-protobuf python3-six python3-tqdm python3-h5py
    python3-h5py-serial python3-scipy python3-matplotlib python3-cycler python3-dateutil
    python3-kiwisolver python3-pil python3-pyparsing)

mkdir "$destination"
cd "$destination"
mkdir -p bin glibc libexec licences $modules

# ---- programs and modules ----

cp "$here/README.txt" .
# the libraries that the launcher tells the user to install
grep -E '^nvidia-(cuda-runtime|cuda-nvrtc|cublas|curand|cudnn)' "$wheels" >cuda-wheels.txt
cp "$here/launch" bin
for name in caffe python python3; do ln -s launch bin/$name; done
cp "$caffe/caffe_cpu_build/tools/caffe" /usr/bin/python3.9 libexec
cp "$caffe/caffe_cpu_build/lib/libcaffe.so.1.0.0" lib
cp -a /usr/lib/python3.9 lib
cp --remove-destination "$here/sitecustomize.py" lib/python3.9
for package in "${packages[@]}"; do
    dpkg -L "$package"
done | grep "^/usr/$modules/" | tar -C /usr --no-recursion -cPf - -T - | tar -xPf - \
    --transform="s,^/usr/,,"
cp -RL /usr/share/matplotlib/mpl-data $modules/matplotlib
# Debian's looks for its settings in /etc
sed -i "s,'/etc/matplotlibrc',cbook._get_data_path('matplotlibrc')," \
    $modules/matplotlib/__init__.py
cp -R "$cv2"/* $modules
cp -RL "$caffe/python/caffe" $modules

# large, and no tool imports it
rm -r lib/python3.9/config-* lib/python3.9/lib-dynload/{_dbm,_sqlite3,_test*,nis}.* \
    $modules/scipy/{cluster,fft,fftpack,integrate,interpolate,linalg,misc,ndimage,odr} \
    $modules/scipy/{optimize,signal,spatial,special,stats} $modules/cv2/data/*.xml
find . -depth \( -name __pycache__ -o -name test -o -name '*.a' \
    -o -name tests ! -path '*/h5py/*' \) -exec rm -r {} + # h5py imports its tests
strip libexec/caffe lib/libcaffe.so.1.0.0 $modules/caffe/_caffe.so

# ---- libraries ----

dpkg -L libc6 | grep -E '/lib/x86_64-linux-gnu/[^/]+\.so\.[0-9]+$' | xargs cp -Lt glibc

# Print `NAME PATH` of every library that the files ask for, of what those ask for, and so on.
libraries() { # libraries FILE …
    LD_LIBRARY_PATH=$PWD/lib:$cuda/lib64 ldd "$@" 2>/dev/null |
        awk '$2 == "=>" { print $1, $3 == "not" ? "missing" : $3 }' | sort -u
}

# What CUDA's libraries ask for must be there as well. A wheel's own libraries, in NAME.libs, find
# each other only where its modules load them.
mapfile -t files < <(find "$PWD" -type f \( -name '*.so*' -o -path '*/libexec/*' \) \
    ! -path '*.libs/*')
while read -r name path; do
    case $path in
    missing) echo "pack.sh: $name is nowhere" >&2; exit 1 ;;
    "$PWD"/* | "$cuda"/*) ;;
    *)
        [ ! -e "glibc/$name" ] || continue
        cp -L "$path" lib/"$name"
        path=$(readlink -f "$path") # dpkg may know it under /lib
        packages+=("$(dpkg -S "*${path#/usr}" | sed 's/:.*//;q')") ;;
    esac
done < <(libraries "${files[@]}" "$cuda"/lib64/libcu*.so.*)

# What the launcher looks for: what Caffe is linked to, and what the driver and cuDNN open later.
libraries "$PWD/lib/libcaffe.so.1.0.0" | awk -v cuda="$cuda/" '
    index($2, cuda) == 1 { print $1 }
    END { print "libcuda.so.1\nlibnvrtc.so.13" }' >lib/cuda-libraries

# ---- licences ----

packages+=(libc6 libpython3.9-minimal libpython3.9-stdlib python3.9-minimal python-matplotlib-data)
for package in "${packages[@]}"; do
    cp "/usr/share/doc/$package/copyright" "licences/$package"
done
cp "$caffe/debian/copyright" licences/caffe

# ---- does it start? ----

export PYTHONDONTWRITEBYTECODE=1
bin/caffe --version
bin/python -c 'import caffe, cv2, h5py, matplotlib.pyplot, scipy.io, tqdm'
