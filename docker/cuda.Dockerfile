# rwkv-train for NVIDIA GPUs, a process for each that a container sees (the image that this one builds on has NCCL). From
# the top of the clone:
#   docker build -f docker/cuda.Dockerfile -t rwkv-train:cuda .
#   docker run --rm --gpus all -v "$PWD/runs:/work/runs" rwkv-train:cuda               (configs/quickstart.yaml)
#   docker build -f docker/cuda.Dockerfile --build-arg CUDA=12.9.1 --build-arg RT_CUDA_ARCHITECTURES=90a -t rwkv-train:h100 .
# The machine needs NVIDIA's driver (of CUDA's version or newer) and container toolkit. A mounted directory must be
# writable for user 1000, or add --user "$(id -u)".
ARG CUDA=12.8.1
ARG SYSTEM=ubuntu24.04
FROM nvidia/cuda:${CUDA}-devel-${SYSTEM} AS build
WORKDIR /src
# The list of packages stands in scripts/common.sh only; this layer is redone when it changes, not with every source.
COPY scripts/common.sh scripts/
RUN bash -c 'set -euo pipefail; . scripts/common.sh; install_missing "$build_needs" "$optional_needs"'
COPY . .
# The image runs on other machines than this one: AVX2 is asked for, not what the building machine happens to have.
ARG RT_ARCH=x86-64-v3
# 100 and 120 need CUDA 12.8. One architecture builds in a sixth of the time.
ARG RT_CUDA_ARCHITECTURES="80;86;89;90a;100;120"
RUN cmake --preset cuda -DRT_TESTS=OFF -DRT_ARCH="$RT_ARCH" -DRT_CUDA_ARCHITECTURES="$RT_CUDA_ARCHITECTURES" \
 && cmake --build --preset cuda --target rwkv-train rwkv \
 && bash scripts/runtime_packages.sh build/cuda/bin/rwkv-train build/cuda/bin/rwkv >/runtime-packages

FROM nvidia/cuda:${CUDA}-runtime-${SYSTEM}
# The names of the libraries' packages differ from system to system, so the build says which they are. Ubuntu's images
# come with a user 1000.
COPY --from=build /runtime-packages /tmp/runtime-packages
RUN apt-get update \
 && xargs apt-get install -y --no-install-recommends </tmp/runtime-packages \
 && rm -rf /var/lib/apt/lists/* /tmp/runtime-packages \
 && if id ubuntu >/dev/null 2>&1; then userdel --remove ubuntu; fi \
 && useradd --create-home --uid 1000 rwkv \
 && install -d -o rwkv -g rwkv /work /work/runs
COPY --from=build /src/build/cuda/bin/rwkv-train /src/build/cuda/bin/rwkv /usr/local/bin/
COPY configs /work/configs
USER rwkv
WORKDIR /work
ENTRYPOINT ["rwkv-train"]
CMD ["configs/quickstart.yaml"]
